"""What a card says of a model's training."""

from types import SimpleNamespace

import yaml

from mm_lightning.export.facts import _config_of

AVERAGING = {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.9}}
STOPPING = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "val/loss"}}


def test_the_config_has_all_that_decides_what_is_learned():
    """Catches a config that trains another model, and a path of the machine that trained."""
    config = {
        "trainer": {"max_steps": 9, "limit_train_batches": 5, "logger": True, "callbacks": [STOPPING, AVERAGING]},
        "init_from": "/home/someone/start.ckpt",
        "teacher": "runs/teacher.ckpt",
        "teacher_items": 100,
    }
    model = {"network": {"class_path": "N"}, "optimizer": {"class_path": "O"}, "lr_scheduler": None, "alphabet": "ab"}
    source = SimpleNamespace(config=config, data={"seed": 3, "path": "/x/words.txt", "batch_size": 7}, model=model)
    assert yaml.safe_load(_config_of(source, ["words.txt"])) == {
        "seed_everything": 3,
        "init_from": "start.ckpt",
        "teacher": "teacher.ckpt",
        "teacher_items": 100,
        "trainer": {"max_steps": 9, "limit_train_batches": 5, "callbacks": [AVERAGING]},
        "model": {"network": {"class_path": "N"}, "optimizer": {"class_path": "O"}},
        "data": {"path": "words.txt", "batch_size": 7},
    }
