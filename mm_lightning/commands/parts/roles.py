"""What the work of a command needs: a model, training items, and a runner that carries the work out.

Lightning's objects have these parts, and so do the objects of `cli/opening.py`, which need no Lightning.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:  # torch takes seconds to import
    from mm_lightning.data.splits import SplitName
    from mm_lightning.data.vocabulary import Vocabulary
    from mm_lightning.networks.base import Network

T = TypeVar("T")


class Trained(Protocol):
    """A module with a network and the vocabulary of its ids.

    Attributes:
        network: The network.
        vocabulary: The vocabulary.
        labels: How often the training items have each label; empty without labels.
    """

    network: "Network"
    vocabulary: "Vocabulary"
    labels: dict[str, int]


class TrainingItems(Protocol):
    """The items that a model was trained on.

    Attributes:
        path: Their files, for messages.
        split: Way to split them.
    """

    path: str
    split: "SplitName"

    @property
    def digest(self) -> str:
        """Checksum of the training items in their order."""
        ...

    def check(self) -> None:
        """Read the items; raises UserError if they cannot be used."""
        ...

    def is_new(self, strings: list[str]) -> list[bool]:
        """Mask of the items that are not among the training items."""
        ...


class Runner(Protocol):
    """One process or several on their devices, such as a Trainer."""

    @property
    def share(self) -> tuple[int, int]:
        """Number of this process, and number of processes, which share the work."""
        ...

    @property
    def is_global_zero(self) -> bool:
        """Whether this process is the first one, which writes."""
        ...

    def load_weights(self, model: Any, path: Path) -> None:
        """Put a checkpoint's weights into a model, move the model to this process's device and set eval mode."""
        ...

    def in_every_process(self, function: Callable[[], T]) -> T:
        """Call a function in every process, in the precision of the settings; return the result in this process."""
        ...
