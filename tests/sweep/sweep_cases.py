"""A base, spaces over it, and what several tests of sweeps ask of a study."""

import re

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

HIDDEN, RATE = "model.network.init_args.hidden_dim", "model.optimizer.init_args.lr"
BASE = {
    "model": {
        "network": {"class_path": "mm_lightning.networks.MLP", "init_args": {"block_size": 2, "embed_dim": 3}},
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01}},
    },
    "data": {"batch_size": 5, "path": "words.txt"},
    "trainer": {"max_steps": 40, "steps_per_execution": 10},
}
SPACE = {HIDDEN: {"int": [4, 16]}, RATE: {"float": [0.001, 0.1], "log": True}}
GRID = {HIDDEN: {"choice": [4, 8]}, RATE: {"choice": [0.01, 0.03, 0.1]}}


def list_files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def trial_lines(*results):
    """Lines on stderr about trials that ended."""
    lines = [line for result in results for line in result.stderr.splitlines()]
    return [line for line in lines if re.match(r"trial \d+, \d+ of \d+: ", line)]


def complete_trials(folder):
    """Parameters and value of the complete trials, by number."""
    backend = JournalFileBackend(f"{folder}/lightning_sweeps/search/study.journal")
    study = optuna.load_study(study_name=None, storage=JournalStorage(backend))
    return {t.number: (t.params, t.value) for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE}
