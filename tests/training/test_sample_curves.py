"""Curves of the samples' quality during training, and the samples shown."""

import re
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from run_command import FIT, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.quality import TrainingReference
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.sampler import Sampler, sample
from mm_lightning.training.callbacks.samples import _log_quality
from mm_lightning.training.module import LanguageModel

MEASURES = {"valid", "unique", "new", "lengths", "first", "last", "bigrams"}


def curves(run_folder):
    """Step and value of each point of the curves val_quality/... of a run."""
    events = EventAccumulator(str(run_folder)).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith("val_quality/")]
    return {tag.removeprefix("val_quality/"): [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


def test_curves_measure_the_samples_of_which_the_first_are_shown(names_run):
    """Catches measures of other samples, an x axis in epochs, and shown items that depend on the number measured."""
    run_folder = names_run / "lightning_logs/version_0"
    points = curves(run_folder)
    lines = [line for line in (names_run / "fit.out").read_text().splitlines() if line.startswith("step ")]
    steps = [int(line.split()[1].rstrip(":")) for line in lines]
    assert points.keys() == MEASURES
    assert all([step for step, _ in each] == steps for each in points.values())
    assert len(steps) > 1
    model = LanguageModel.load_from_checkpoint(run_folder / "checkpoints/last.ckpt", weights_only=True).eval()
    data = ItemsDataModule(str(names_run / "words.txt"), block_size=3)
    options = SamplingOptions(num_samples=10, max_length=2 * TrainingReference.of(data).max_length)
    valid_items = TrainingReference.of(data).valid_items(
        Items.from_strings(Sampler(model.network, model.vocabulary, options, 256).sample_batch(0))
    )
    assert 0 < len(valid_items) < 256
    expected = asdict(TrainingReference.of(data).quality(valid_items, len(valid_items) / 256))
    assert {name: each[-1][1] for name, each in points.items()} == pytest.approx(expected, rel=1e-6)
    shown = sample(model.network, model.vocabulary, options, data.is_new, num_rows=20)
    assert lines[-1].partition("training]): ")[2].replace("[", "").replace("]", "").split() == shown


def test_many_samples_and_none(names_run, tmp_path):
    """Catches a crash for more shown items than one batch has, sampling at num_samples 0, and lost lines of losses."""
    options = ("--data.path", names_run / "words.txt", "--trainer.max_steps", 3)
    lines = []
    for number in (0, 300):
        result = run(*FIT, *options, "--samples.num_samples", number, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        shown = result.stdout.partition("training]): ")[2].split("\n")[0].split()
        assert len(shown) == number
        lines.append([line for line in result.stdout.splitlines() if line.startswith("step ")])
    assert [line.partition("; samples")[0] for line in lines[1]] == lines[0]
    assert re.fullmatch(r"step 3: val/loss \d\.\d{4}", lines[0][-1])
    assert [len(curves(tmp_path / f"lightning_logs/version_{i}")) for i in (0, 1)] == [0, 7]


def test_a_network_whose_items_never_end_has_one_curve():
    """Catches a division by zero valid items in the first epochs of a run."""
    items = Items.from_strings(["ab", "ab", "ba", "c"])
    reference = TrainingReference(items, Vocabulary("abc"), np.sort(items.hashes()), max_length=2)
    logged = []
    logger = SimpleNamespace(log_metrics=lambda values, step: logged.append((values, step)))
    trainer = SimpleNamespace(loggers=[logger], global_step=7)
    _log_quality(trainer, reference, Items.from_strings(["abcabc"]), 256)
    assert logged == [({"val_quality/valid": 0.0}, 7)]
