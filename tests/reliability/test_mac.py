"""The life of a run of every recipe on the device of a Mac, which has no float64 and lacks operators."""

import shutil
from pathlib import Path

import mac
import pytest
import torch
from run_command import fork, run
from test_configs import CONFIGS, counts, fit, some_data, spanning, weights  # noqa: F401 # some_data is a fixture

ON_MAC = ("--trainer.accelerator", "mps")
KINDS = ("lstm", "mlp", "ngram")  # the other recipes are slow tests
RECIPES = [pytest.param(path, marks=() if path.stem in KINDS else pytest.mark.slow, id=path.stem) for path in CONFIGS]

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the stand-in for a Mac needs a C++ compiler")


@pytest.fixture(scope="session")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> mac.Mac:
    library = tmp_path_factory.mktemp("mac") / "mac_device.so"
    mac.build(library)
    return mac.Mac(library)


def _meet_limits(prepare: mac.Mac) -> None:
    prepare()
    x = torch.ones(3, device=mac.DEVICE)
    assert (x * 2).sum().item() == 6
    with pytest.raises(TypeError, match="no float64"):
        x.double()
    with pytest.raises(NotImplementedError, match="no operator aten::special_ndtri"):
        torch.special.ndtri(x)
    with pytest.raises(RuntimeError, match="same device"):
        x + torch.ones(3)


def test_the_stand_in_has_the_limits(prepare: mac.Mac):
    """Catches a stand-in that accepts everything, and so proves nothing."""
    assert fork(_meet_limits, prepare) == 0


@pytest.mark.parametrize("config", RECIPES)
def test_the_life_of_a_run(config: Path, some_data: Path, tmp_path: Path, prepare: mac.Mac):  # noqa: F811
    """A recipe that needs float64, or an operator that MPS lacks, or mixes tensors of two devices."""
    steps = () if counts(config) else ("--trainer.max_steps", "6", *spanning(config, 6))
    checkpoint = fit(config, some_data, tmp_path / "mac", *steps, *ON_MAC, prepare=prepare)
    trained, expected = weights(checkpoint), weights(fit(config, some_data, tmp_path / "cpu", *steps))
    assert trained.keys() == expected.keys()
    for name, value in trained.items():
        difference = (value.double() - expected[name].double()).norm()
        assert difference <= 1e-3 * expected[name].double().norm(), name
    if not counts(config):
        longer = ("--trainer.max_steps", "8", *spanning(config, 8))
        fit(config, some_data, tmp_path / "mac", *longer, *ON_MAC, "--ckpt_path", "last", prepare=prepare)
    label = ("--sampling.label", "F") if config.stem.endswith("_labels") else ()
    for command in (
        ("validate", "--data.path", some_data),
        ("predict", "--sampling.num_samples", "7"),
        ("predict", "--sampling.num_samples", "7", "--sampling.prefix", "a"),
        ("predict", "--sampling.num_samples", "3", "--sampling.beam", "3", *label),
        ("score", "ava"),
        ("quality", "--data.path", some_data, "--num_samples", "50"),
    ):
        name, *options = command
        done = run(name, "--ckpt_path", checkpoint, *options, *ON_MAC, cwd=tmp_path, prepare=prepare)
        assert done.returncode == 0, f"{command}: {done.stderr[-3000:]}"
