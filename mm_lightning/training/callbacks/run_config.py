"""Configuration of a run: a file in the run folder for people, a copy in the checkpoints for resuming."""

from functools import cached_property
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.cli import SaveConfigCallback
from typing_extensions import override

from mm_lightning.files import write_atomically
from mm_lightning.training.checkpoint import CONFIG_KEY, RUN_CONFIG


class RunConfig(SaveConfigCallback):
    """Lightning's callback, extended: accepts a second `fit` in the run folder, and writes into checkpoints."""

    @override
    def save_config(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write config.yaml; a resumed run's replaces that of its first part."""
        run: Path | None = getattr(trainer, "run_folder", None)
        if run is not None:
            with write_atomically(run / self.config_filename, "configuration of the run") as file:
                file.write(self._yaml.encode())

    @property
    @override
    def state_key(self) -> str:
        return RUN_CONFIG

    @override
    def state_dict(self) -> dict[str, Any]:
        """The configuration as YAML."""
        return {CONFIG_KEY: self._yaml}

    @cached_property
    def _yaml(self) -> str:
        config = self.config.clone()
        if "ckpt_path" in config:  # absent without a command
            config["ckpt_path"] = None  # this describes the run, not how it was last started
        config.pop("seeds", None)  # as above; other seeds are other runs
        return str(self.parser.dump(config, skip_none=False))
