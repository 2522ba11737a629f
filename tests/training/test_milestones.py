"""Which epochs end with more work than training."""

import pytest

from mm_lightning.training.callbacks.milestones import CHECKPOINTS, LINES, PICTURES, SAMPLES, VALIDATIONS, Milestones


def milestones_of(milestones: Milestones, epochs: int, steps_per_epoch: int) -> list[int]:
    return [epoch for epoch in range(1, epochs + 1) if milestones.has(epoch, steps_per_epoch)]


def test_milestones_are_the_epochs_with_few_significant_bits():
    """Catches milestones that do not grow, begin too early, or lie further apart than the limit."""
    assert milestones_of(Milestones(1, bits=2), 50, 1) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48]
    assert milestones_of(Milestones(1, bits=2), 50, 9) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48]
    assert milestones_of(Milestones(10, bits=2), 40, 3) == [4, 8, 12, 16, 24, 32]
    assert milestones_of(Milestones(2, bits=1, max_steps=8), 40, 1) == [2, 4, 8, 16, 24, 32, 40]
    assert milestones_of(Milestones(1, bits=1, max_steps=8), 5, 100) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("steps_per_epoch", [1, 3, 4, 25, 178, 403, 5743])
def test_a_run_of_any_length_prints_one_screen(steps_per_epoch: int):
    """Catches a schedule with a line per epoch, and a printed epoch without samples or val/loss."""
    for milestones in (LINES, PICTURES):
        assert len(milestones_of(milestones, 1_000_000 // steps_per_epoch, steps_per_epoch)) < 33
    for epoch in milestones_of(LINES, 3000, steps_per_epoch):
        assert SAMPLES.has(epoch, steps_per_epoch)
        assert VALIDATIONS.has(epoch, steps_per_epoch)


def test_long_epochs_are_all_validated_and_saved():
    """Catches recipes on long lists that lose points of their curves."""
    for milestones in (VALIDATIONS, CHECKPOINTS):
        assert milestones_of(milestones, 60, 201) == list(range(1, 61))
    assert milestones_of(SAMPLES, 35, 5743) == list(range(1, 36))
