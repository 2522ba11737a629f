"""The choice of the device where the options leave it."""

from types import SimpleNamespace

import pytest

from mm_lightning.cli.devices import with_devices

SMALL, LARGE = 12_000, 200_000


@pytest.fixture
def choose(monkeypatch):
    """The settings that the application chooses, on a machine with a GPU or without."""
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)

    def choose(has_gpu, num_parameters=LARGE, learns=True, batch_size=512, **settings):
        monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
        model = SimpleNamespace(learns_by_gradient=learns, network=SimpleNamespace(num_parameters=num_parameters))
        data = SimpleNamespace(batch_size=batch_size, block_size=3)
        return with_devices({"accelerator": "auto", "devices": "auto", **settings}, model, data)

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


def test_torchrun_has_chosen_the_number(choose, monkeypatch):
    """Catches one device in each of torchrun's processes, which Lightning refuses."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    model = SimpleNamespace(learns_by_gradient=False)
    assert with_devices({"accelerator": "cpu", "devices": "auto"}, model, None)["devices"] == 2


@pytest.fixture
def two_machines(monkeypatch):
    """The variables that torchrun sets in the one process on each of two machines."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    return lambda devices: with_devices(
        {"accelerator": "cpu", "devices": devices, "num_nodes": 1}, SimpleNamespace(learns_by_gradient=False), None
    )


@pytest.mark.parametrize("devices", ["auto", 1])
def test_torchrun_has_chosen_the_machines(two_machines, devices):
    """Catches a run of its own on each machine."""
    assert two_machines(devices) == {"accelerator": "cpu", "devices": 1, "num_nodes": 2}


def test_another_number_than_torchrun_has_started_is_refused(two_machines):
    """Catches processes that train without each other, or wait for others that nobody starts."""
    with pytest.raises(ValueError, match=r"trainer\.devices is 3, but torchrun has started 1; leave it out"):
        two_machines(3)
