"""The choice of the device where the options leave it."""

import os
from functools import partial
from types import SimpleNamespace

import lightning.pytorch  # noqa: F401 # sets the rank, without which no line is said
import pytest

from mm_lightning import UserError
from mm_lightning.cli.devices import settle, with_devices
from mm_lightning.commands.catalogue import COMMANDS
from mm_lightning.commands.parts.one_process import go_on_alone, started_processes
from mm_lightning.networks.base import Network

SMALL, LARGE = 12_000, 200_000


@pytest.fixture
def choose(monkeypatch):
    """The settings that the application chooses, on a machine with a GPU or without."""
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)

    def choose(has_gpu, num_parameters=LARGE, learns=True, batch_size=512, **settings):
        monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
        learning = "gradient" if learns else "counting"
        multiply_adds = partial(Network.multiply_adds, SimpleNamespace(num_parameters=num_parameters))
        network = SimpleNamespace(learning=learning, multiply_adds=multiply_adds)
        data = SimpleNamespace(batch_size=batch_size, block_size=3)
        return with_devices({"accelerator": "auto", "devices": "auto", **settings}, network, data)

    return choose


def test_a_small_step_stays_on_the_cpu(choose, caplog):
    """Catches a recipe of 12 thousand weights that is several times slower on the GPU, and a choice without a word."""
    caplog.set_level("INFO")
    assert choose(True, SMALL, batch_size=32) == {"accelerator": "cpu", "devices": 1}
    assert "device: CPU, as a step is too small for a GPU (--trainer.accelerator gpu overrides)" in caplog.text


def test_a_large_step_goes_to_one_gpu(choose):
    """Catches a Transformer that trains beside an idle GPU, and a run that takes all GPUs of a workstation."""
    assert choose(True) == {"accelerator": "cuda", "devices": 1}
    assert choose(True, batch_size=None) == {"accelerator": "cuda", "devices": 1}


def test_without_a_cuda_gpu_the_cpu_trains(choose, caplog):
    """Catches a Mac on which the first command fails, and a line about GPUs where there are none."""
    caplog.set_level("INFO")
    assert choose(False) == {"accelerator": "cpu", "devices": 1}
    assert caplog.text == ""


def test_counts_stay_on_the_cpu(choose):
    """Catches a single pass of counting that is copied to a GPU."""
    assert choose(True, learns=False)["accelerator"] == "cpu"


@pytest.mark.parametrize("settings", [{"accelerator": "gpu", "devices": 2}, {"accelerator": "mps", "devices": -1}])
def test_an_explicit_device_is_obeyed(choose, settings):
    """Catches an option that is overruled."""
    assert choose(True, SMALL, batch_size=32, **settings) == settings


@pytest.mark.parametrize("devices", [-1, [0], [0, 1]])
def test_numbers_of_gpus_mean_gpus(choose, devices):
    """Catches all GPUs that are asked for, and a CPU that trains; and Lightning's traceback where there is no GPU."""
    assert choose(True, SMALL, batch_size=32, devices=devices) == {"accelerator": "cuda", "devices": devices}
    for has_gpu, settings in ((False, {}), (True, {"accelerator": "cpu"})):
        with pytest.raises(UserError, match="means GPUs, but the device is the CPU; give the number of processes"):
            choose(has_gpu, devices=devices, **settings)


def test_torchrun_has_chosen_the_number(choose, monkeypatch):
    """Catches one device in each of torchrun's processes, which Lightning refuses."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    network = SimpleNamespace(learning="counting")
    assert with_devices({"accelerator": "cpu", "devices": "auto"}, network, None)["devices"] == 2


ALONE = {name for name, command in COMMANDS.items() if command.is_alone}


@pytest.mark.parametrize("command", sorted(ALONE | {"fit"}))
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"devices": 2}, "trainer.devices 2 has no effect"),
        ({"devices": [1, 3], "num_nodes": 2}, "trainer.devices [1, 3] and trainer.num_nodes 2 have no effect"),
        ({"devices": -1}, "trainer.devices -1 has no effect"),
        ({"devices": 1}, ""),
        ({"devices": "auto"}, ""),
    ],
)
def test_a_command_that_works_alone_says_so(monkeypatch, capsys, command, settings, said):
    """Catches a command that starts processes it has no work for, and a setting that is ignored without a word."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    before = {"accelerator": "gpu", "devices": "auto", "num_nodes": 1, "strategy": "ddp", **settings}
    network = SimpleNamespace(learning="counting")
    after = settle(before, command, network, None)
    one = [1] if isinstance(settings["devices"], list) else 1
    assert after == {**before, "devices": one, "num_nodes": 1, "strategy": "auto" if said else "ddp"}
    work = "fit by counting" if command == "fit" else command
    assert capsys.readouterr().err == (said and f"{work} uses one device; {said}\n")


def test_a_command_that_shares_its_work_has_several_devices(capsys):
    """Catches a command on one of two devices."""
    network = SimpleNamespace(learning="gradient")
    for command in COMMANDS.keys() - ALONE:
        before = {"accelerator": "cpu", "devices": 2, "num_nodes": 1}
        assert settle(before, command, network, None) == before
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("rank", "size"), [("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")])
def test_one_of_the_started_processes_goes_on(monkeypatch, capsys, rank, size):
    """Catches work that each process does, an exit status of a failure, and a process that waits for the others."""
    monkeypatch.setenv(size, "3")
    monkeypatch.setenv(rank, "2")
    with pytest.raises(SystemExit) as end:
        go_on_alone("plot")
    assert end.value.code == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(rank, "0")
    go_on_alone("plot")
    assert capsys.readouterr().err == "plot uses one device; 2 of 3 processes have nothing to do\n"
    assert started_processes() == (0, 1)
    assert not {rank, size} & set(os.environ)


@pytest.fixture
def two_machines(monkeypatch):
    """The variables that torchrun sets in the one process on each of two machines."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    return lambda devices: with_devices(
        {"accelerator": "cpu", "devices": devices, "num_nodes": 1}, SimpleNamespace(learning="counting"), None
    )


@pytest.mark.parametrize("devices", ["auto", 1])
def test_torchrun_has_chosen_the_machines(two_machines, devices):
    """Catches a run of its own on each machine."""
    assert two_machines(devices) == {"accelerator": "cpu", "devices": 1, "num_nodes": 2}


def test_another_number_than_torchrun_has_started_is_refused(two_machines):
    """Catches processes that train without each other, or wait for others that nobody starts."""
    with pytest.raises(ValueError, match=r"trainer\.devices is 3, but torchrun has started 1; leave it out"):
        two_machines(3)
