"""Measures of a run: losses of held-out items, quality of samples."""

from dataclasses import dataclass

from mm_lightning.compare.opening import open_run, task_of
from mm_lightning.compare.runs import Run
from mm_lightning.evaluation.comparison import Row
from mm_lightning.export.facts import Loss
from mm_lightning.export.measuring import sample_quality, split_losses

_TEST_MEASURE = "test_hits"  # a look at the test split


@dataclass(frozen=True)
class Measures:
    """Measures of a run.

    Args:
        num_weights: Number of learned weights and of counts.
        is_counted: Whether the network is counted, so that the seed changes nothing.
        losses: Loss of each measured split.
        quality: Measures of samples; empty without samples.
        task: Data and units that must be equal for losses to be comparable.
        loss_note: How items count in the losses; empty where each counts once.
    """

    num_weights: int
    is_counted: bool
    losses: dict[str, Loss]
    quality: Row
    task: tuple[str, ...]
    loss_note: str


def measure(run: Run, data_path: str | None, num_samples: int, has_test: bool) -> Measures:
    """Measure a run on the data that it was trained on.

    Args:
        run: The run.
        data_path: Place of the data, if they have moved.
        num_samples: Number of samples for the quality; 0 for no samples.
        has_test: Whether to look at the test split.

    Raises:
        UserError: If the data are missing or not those of the run.
    """
    app = open_run(run, data_path, "compare")
    model, data = app.model, app.datamodule
    with app.trainer.strategy.precision_plugin.forward_context():
        losses = split_losses(model, data, ("dev", "test") if has_test else ("dev",))
        quality = next(iter(sample_quality(model, data, num_samples).rows.values())) if num_samples else {}
    return Measures(
        num_weights=model.network.num_parameters,
        is_counted=model.network.learning == "counting",
        losses=losses,
        quality={name: value for name, value in quality.items() if has_test or name != _TEST_MEASURE},
        task=task_of(app),
        loss_note=data.loss_note,
    )
