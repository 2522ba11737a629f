"""Train the model of the shipped names from which `make` begins on short lists, and write it to data/names.ckpt.

An LSTM of the size that `mm_lightning.make.recipe` gives to short lists, fitted to every name of data/names.txt. Only
what another training begins from is kept: the optimiser's state is left out.
"""

import tempfile
from pathlib import Path

from mm_lightning.cli import application
from mm_lightning.commands import fit
from mm_lightning.training import checkpoint
from mm_lightning.training.run_folders import LAST, checkpoint_of

TARGET = Path(__file__).parents[1] / "data/names.ckpt"
SETTINGS = {
    "model": {
        "network": {
            "class_path": "mm_lightning.networks.LSTM",
            "init_args": {"embed_dim": 32, "hidden_dim": 64, "embed_dropout": 0.1, "dropout": 0.1},
        },
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"weight_decay": 0.05}},
        "lr_scheduler": {
            "class_path": "torch.optim.lr_scheduler.OneCycleLR",
            "init_args": {"max_lr": 0.01, "pct_start": 0.25},
        },
    },
    "data": {"path": "data/names.txt", "split": "all", "batch_size": 64},
    "trainer": {
        **{"max_steps": 2_500, "steps_per_execution": 50, "compile": False, "gradient_clip_val": 1.0},
        **{"accelerator": "cpu", "devices": 1, "logger": False, "enable_progress_bar": False},
    },
}


def main() -> None:
    """Train and write the model."""
    built = application.build(SETTINGS)
    with tempfile.TemporaryDirectory() as folder:
        built.trainer.run_folder = Path(folder)
        fit.prepare(built.trainer, built.model, built.datamodule)
        built.trainer.fit(built.model, datamodule=built.datamodule)
        content = checkpoint.load(checkpoint_of(Path(folder), LAST))
    content |= {"optimizer_states": [], "lr_schedulers": []}
    checkpoint.save(content, TARGET)
    print(TARGET, TARGET.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
