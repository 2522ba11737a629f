"""What a learning-rate range test found: its curve, the rate to take, the picture and the table of both."""

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mm_lightning import UserError
from mm_lightning.files import check_writable, write_atomically

_SMOOTHING = 0.2  # decades of the learning rate, one standard deviation
_CEILING = 1.5  # of the first loss
_NEARLY = 0.02  # of the loss's fall, still to come where the floor of the valley begins


@dataclass(frozen=True)
class RangeTest:
    """Losses of training steps under a learning rate that rises from one to the next (Smith 2015, arXiv:1506.01186).

    Args:
        rates: (n,) learning rate of each step, rising.
        losses: (n,) loss of its batch in nats per target, before the step.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]

    @cached_property
    def smoothed(self) -> NDArray[np.float64]:
        """(n,) losses after local linear regression on log10 of the rate, with normal weights (Cleveland 1979).

        The usual running average, which Lightning's Tuner takes too, shows at a rate the losses of smaller ones, by
        default three tenths smaller. Losses count up to a ceiling: the last of a test that diverges would outweigh the
        valley.
        """
        places = np.log10(self.rates)
        losses = np.minimum(self.losses, _CEILING * self.losses[0])
        return np.array([_line_at(place, places, losses) for place in places])

    @property
    def suggestion(self) -> float:
        """The least rate on the floor of the valley, where all but a fiftieth of the smoothed loss's fall is done.

        The lecture takes the bottom of the valley by eye. Along its flat floor the lowest point wanders with the noise
        of the batches; where the floor begins stays in place, and a rate from there on has room above it. Measured with
        MLP and SGD of `configs/mlp.yaml`, seeds 0 to 3 and 42: floor from 0.085 to 0.145, lowest point 0.15 to 0.29.
        The Tuner's own suggestion, steepest in the rate and not in its logarithm, is 0.0014 to 0.0018, at the start of
        the test; steepest in the logarithm, 0.010 to 0.027, is where learning begins.

        Raises:
            UserError: If there is no valley.
        """
        start, lowest = self.smoothed[0], self.smoothed.min()
        if self.smoothed.argmin() == 0:
            raise UserError(
                f"the loss only rises from learning rate {self.rates[0]:.3g} on; "
                "lower --min_exponent or raise --num_steps"
            )
        return float(self.rates[np.argmax(self.smoothed <= lowest + _NEARLY * (start - lowest))])

    @property
    def still_falling(self) -> bool:
        """Whether the valley may go on where the test ended."""
        return bool(self.smoothed.argmin() == len(self.rates) - 1)

    def save(self, picture: Path) -> Path:
        """Write a picture, and the numbers beside it.

        Args:
            picture: A .png file; the table is a .csv of the same name.

        Returns:
            The table's file.

        Raises:
            UserError: If one cannot be written.
        """
        table = picture.with_suffix(".csv")
        text = io.StringIO(newline="")
        rows = csv.writer(text)
        rows.writerow(["lr", "loss", "smoothed_loss"])
        columns = (self.rates, self.losses, self.smoothed)
        rows.writerows([f"{value:.6g}" for value in row] for row in zip(*columns, strict=True))
        with write_atomically(table, "output") as partial:
            partial.write_bytes(text.getvalue().encode())
        with write_atomically(picture, "output") as partial:
            self._draw(partial)
        return table

    def _draw(self, file: Path) -> None:
        """Loss against log10 of the rate."""
        from matplotlib.figure import Figure  # noqa: PLC0415 # takes most of a second

        places, best = np.log10(self.rates), self.suggestion
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        axes.plot(places, self.losses, color="#9ecae1", linewidth=0.7, label="loss of each step's batch")
        axes.plot(places, self.smoothed, color="#08519c", linewidth=2, label="smoothed")
        axes.axvline(np.log10(best), color="#d94801", linestyle="--", label=f"suggestion: {best:.2g}")
        start, depth = self.smoothed[0], self.smoothed[0] - self.smoothed.min()
        axes.set_ylim(self.losses.min() - 0.1 * depth, start + 0.5 * depth)  # diverging would flatten the valley
        axes.set_xlabel("log10 of the learning rate")
        axes.set_ylabel("train loss, nats per target")
        axes.set_title(f"Learning-rate range test, {len(self.rates):,} steps")
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(file, format="png", dpi=120)


def check_output(picture: Path) -> None:
    """See that `RangeTest.save` will be able to write, before time goes into a test.

    Raises:
        UserError: If not.
    """
    check_writable(picture, "output", ".png")
    check_writable(picture.with_suffix(".csv"), "output", ".csv")


def _line_at(place: float, places: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    """Height at a place of the line that fits the losses around it best."""
    weights = np.exp(-0.5 * np.square((places - place) / _SMOOTHING))
    weights /= weights.sum()
    middle, height = weights @ places, weights @ losses
    spread = weights @ np.square(places - middle)
    slope = weights @ ((places - middle) * losses) / spread
    return float(height + slope * (place - middle))
