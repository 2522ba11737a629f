"""The launcher of several processes, in a single one."""

from types import SimpleNamespace

import pytest
import torch

from mm_lightning.training.processes.launcher import Launcher


@pytest.fixture
def launcher(monkeypatch):
    """The launcher of the one process of a machine, as another program has started it, on a machine of 4 cores."""
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("lightning.fabric.utilities.distributed._suggested_max_num_threads", lambda number: 4 // number)
    environment = SimpleNamespace(
        local_rank=lambda: 0,
        node_rank=lambda: 0,
        validate_settings=lambda num_devices, num_nodes: None,
        creates_processes_externally=True,
    )
    yield Launcher(environment, 1, 1)
    torch.set_num_threads(1)


@pytest.mark.parametrize(("before", "within"), [(1, 1), (3, 3), (8, 4)])
def test_a_launch_adds_no_threads(launcher, before, within):
    """Catches a small step on all cores of a machine, which takes twice the time of all of them."""
    torch.set_num_threads(before)
    assert launcher.launch(torch.get_num_threads) == within


def test_an_error_of_the_work_is_its_error(launcher):
    """Catches an error that is taken for the loss of a process."""
    with pytest.raises(ZeroDivisionError):
        launcher.launch(lambda: 1 / 0)
