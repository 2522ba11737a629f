"""Eight names, their alphabet, and random ids over the alphabet, for the tests of networks."""

import torch

from mm_lightning.data.vocabulary import BOUNDARY

EIGHT = ["emma", "ella", "eva", "ava", "mia", "amelia", "evelyn", "abigail"]
ALPHABET = "".join(sorted(set("".join(EIGHT))))
V = len(ALPHABET) + 1


def random_ids(rows: int, length: int) -> torch.Tensor:
    """Ids (B, T) with a boundary at the start of each row only."""
    ids = torch.randint(1, V, (rows, length), generator=torch.Generator().manual_seed(1))
    ids[:, 0] = BOUNDARY
    return ids
