"""The model of an earlier call, with its record of how it was chosen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.make.recipe import Recipe, suited
from mm_lightning.training import checkpoint

_DATA = "datamodule_hyper_parameters"


@dataclass(frozen=True)
class Earlier:
    """A model that `make` has saved.

    Args:
        content: Content of its checkpoint.
        minutes: Time that its networks had.
        loss: Held-out loss in nats per character.
        lines: What was printed while it was chosen.
    """

    content: dict[str, Any]
    minutes: float
    loss: float
    lines: list[str]

    @classmethod
    def read(cls, path: Path) -> "Earlier | None":
        """Read a checkpoint; None if there is none, or one of another command.

        Raises:
            UserError: If the checkpoint is damaged.
        """
        content = checkpoint.load(path) if path.is_file() else {}
        record: Any = content.get(checkpoint.MADE)
        try:
            return cls(content, record["minutes"], record["loss"], record["lines"])
        except (TypeError, KeyError):
            return None

    def keep(self, path: Path, data: dict[str, Any], minutes: float) -> None:
        """Save the model with the files that the list was read from now, which may have moved, and the time it had.

        Raises:
            UserError: If the file cannot be written.
        """
        new = {
            checkpoint.MADE: {**self.content[checkpoint.MADE], "minutes": minutes},
            _DATA: {**self.content[_DATA], **data},
        }
        if any(self.content[key] != value for key, value in new.items()):
            checkpoint.save({**self.content, **new}, path)

    def had_time(self, items: Items, minutes: float) -> bool:
        """Whether a search of these minutes would try no other network."""
        return minutes <= self.minutes or recipe_of(items, minutes) == recipe_of(items, self.minutes)


def recipe_of(items: Items, minutes: float) -> Recipe | None:
    """The network that suits a list and a time; None for a list or a time that is too short."""
    return suited(len(items), len(items.code_points), len(Vocabulary(items.alphabet())), max_seconds=60 * minutes)
