"""Labels that can be read."""

import numpy as np

from mm_lightning.plots.labels import displayable, separated_centres


def test_labels_are_pushed_apart_and_no_further():
    """Catches labels on top of each other, and labels that leave their points although they have room."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(60, 2)), np.zeros((20, 2)), [[50.0, 50.0]]])
    sizes = np.tile([0.3, 0.2], (81, 1))
    centres = separated_centres(points, sizes)
    apart = np.abs(centres[:, None] - centres[None]) >= sizes * (1 - 1e-4)
    assert (apart.any(2) | np.eye(81, dtype=bool)).all()
    assert centres[-1].tolist() == [50, 50]
    assert np.abs(centres - points).max() < 3


def test_a_character_that_the_font_lacks_is_named_by_its_code_point():
    """Catches a box in place of a character, and a combining mark on nothing."""
    assert displayable([".", "a", "é", "ש", "中", "\u05b7", "the", "中x"]) == [
        ".", "a", "é", "ש", "U+4E2D", "\u25cc\u05b7", "the", "U+4E2Dx",
    ]  # fmt: skip
