"""A network outside the package, in a file beside the data: trained, and sampled from by the printed command."""

import shlex
import sys
from pathlib import Path

import pytest
from run_command import ROOT, run

import mm_lightning as mm
from mm_lightning.cli.application import main

NETWORK = '''
from torch import nn
from mm_lightning.networks.base import WindowNetwork


class MyNet(WindowNetwork):
    """A network of one layer.

    Args:
        vocab_size: Number of ids V.
        block_size: Context C in tokens.
        width: Width of an embedding vector.
    """

    def __init__(self, vocab_size: int, block_size: int = 3, width: int = 16) -> None:
        super().__init__(block_size)
        self.embedding = nn.Embedding(vocab_size, width)
        self.output = nn.Linear(block_size * width, vocab_size)

    def forward(self, x):
        return self.output(self.embedding(x).flatten(1))
'''
OWN_OPTIMIZER = ("--model.optimizer=torch.optim.SGD", "--model.optimizer.lr=0.1")
OPTIMIZER = ("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "0.1")


def find_modules_here() -> None:
    """What `python -m` does."""
    sys.path.insert(0, "")


def test_the_printed_command_samples(tmp_path: Path):
    """Catches a printed command that is refused, as the checkpoint names a class that the user has not named."""
    (tmp_path / "my_net.py").write_text(NETWORK, encoding="utf-8")
    lines = (ROOT / "data/names.txt").read_text(encoding="utf-8").splitlines()
    (tmp_path / "names.txt").write_text("\n".join(lines[::100]), encoding="utf-8")
    network = ("--model.network", "my_net.MyNet", "--model.network.width", "8")
    fit = ("fit", "--data.path", "names.txt", *network, *OPTIMIZER, "--trainer.max_steps", "20")
    fitted = run(*fit, cwd=tmp_path, prepare=find_modules_here)
    assert fitted.returncode == 0, fitted.stderr
    printed = fitted.stdout.splitlines()[-1].partition("python -m mm_lightning ")[2]
    done = run(*shlex.split(printed), "--sampling.num_samples", "3", cwd=tmp_path, prepare=find_modules_here)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    refused = run("predict", "--ckpt_path", "best", cwd=tmp_path, prepare=find_modules_here)
    assert refused.stderr.endswith("as in --model.network my_net.MyNet\n")


BY_ANOTHER_NAME = NETWORK.replace("block_size", "context")
FIXED = NETWORK.replace("block_size: int = 3, ", "").replace("block_size", "4")
OF_ITEMS = f"{NETWORK}\n    def read(self, x, state):\n        pass\n".replace("WindowNetwork", "SequenceNetwork")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (BY_ANOTHER_NAME, "reads windows of 3 ids; its constructor must have this number as its argument block_size"),
        (FIXED, "reads windows of 4 ids; its constructor must have this number as its argument block_size"),
        (
            OF_ITEMS.replace("__init__(block_size)", "__init__()"),
            "reads whole items, and its argument block_size is that of networks that read windows",
        ),
    ],
)
def test_a_context_by_another_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str, message: str
):
    """Catches a traceback of shapes that do not fit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "other_net", raising=False)
    (tmp_path / "other_net.py").write_text(code, encoding="utf-8")
    (tmp_path / "names.txt").write_text("\n".join(f"a{c}" for c in "bcdefghijklm"), encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["fit", "--data.path=names.txt", "--model.network=other_net.MyNet", *OWN_OPTIMIZER])
    assert message in capsys.readouterr().err
    assert not Path("lightning_logs").exists()


def test_python_returns_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Catches a fit in Python that trains to the end, and then refuses the class that its caller has named."""
    (tmp_path / "my_net_of_python.py").write_text(NETWORK, encoding="utf-8")
    (tmp_path / "names.txt").write_text("\n".join(["anna", "bob", "carla", "dora", "emil", "fay", "gus"] * 9))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = {"model.network": "my_net_of_python.MyNet", "trainer.max_steps": 5, "model.network.width": 4}
    (tmp_path / "recipe.yaml").write_text("model: {optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}}")
    assert type(mm.fit("names.txt", "recipe.yaml", settings).network).__name__ == "MyNet"


def test_the_printed_command_compares(tmp_path: Path):
    """Catches runs of several seeds whose own network cannot be compared, or is compared without being named."""
    (tmp_path / "my_net.py").write_text(NETWORK, encoding="utf-8")
    lines = (ROOT / "data/names.txt").read_text(encoding="utf-8").splitlines()
    (tmp_path / "names.txt").write_text("\n".join(lines[::100]), encoding="utf-8")
    options = ("--data.path", "names.txt", *OPTIMIZER, "--trainer.max_steps", "20", "--seeds", "2")
    fitted = run("fit", "--model.network", "my_net.MyNet", *options, cwd=tmp_path, prepare=find_modules_here)
    assert fitted.returncode == 0, fitted.stderr
    printed = fitted.stdout.splitlines()[-1].partition("python -m mm_lightning ")[2]
    done = run(*shlex.split(printed), "--num_samples", "0", cwd=tmp_path, prepare=find_modules_here)
    assert done.returncode == 0, done.stderr
    assert "version_0, version_1" in done.stdout
    mixed = run("mix", "0", "1", "--model.network", "my_net.MyNet", cwd=tmp_path, prepare=find_modules_here)
    assert mixed.stderr.endswith("has a network of another package, which mix cannot take; leave it out\n")
    refused = run("compare", "0", "1", cwd=tmp_path, prepare=find_modules_here)
    assert refused.stderr.endswith("as in --model.network my_net.MyNet\n")
