"""Errors of the parser are one line, said once."""

import pytest
import yaml
from run_command import FIT, ROOT, run

from mm_lightning.cli import application


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--config", "nofile.yaml"), "--config nofile.yaml: no such file; name a file with settings in YAML"),
        (("--model.network.init_args.foo", 3), "model.network.foo is not an option"),
        (("--trainer.max_steps", "x"), "trainer.max_steps is x; give int from -1 to 1_000_000_000_000"),
        (("--nosuch", 3), "unrecognized arguments: --nosuch=3"),
        (("--data.path",), "argument --data.path: expected one argument"),
    ],
)
def test_an_error_is_said_once(options, message, tmp_path):
    """Catches an error that every enclosing parser repeats."""
    done = run(*FIT, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: {message.format(cwd=tmp_path)}\n"


MISTAKES = {
    "model.network is MLPP, but mm_lightning.networks has no MLPP; did you mean MLP?": {"network": "MLPP"},
    "model.network is mm_lightning.networks.X, but mm_lightning.networks has no X; it has BagOfWords, Bigram": {
        "network": "mm_lightning.networks.X"
    },
    "model.network: there is no module nosuch; install its package, or start the command in the folder of the module": {
        "network": "nosuch.Net"
    },
    "model.network is torch.nn.Linear; give a subclass of Network": {"network": "torch.nn.Linear"},
    "model.network is not given; name its class, or begin with a recipe, such as --config configs/mlp.yaml": {
        "network": None
    },
    "model.optimizer is torch.optim.Adamm, but torch.optim has no Adamm; did you mean Adam?": {
        "optimizer": {"class_path": "torch.optim.Adamm", "init_args": {"lr": 0.1}}
    },
    "model.optimizer is Adamm, but torch.optim has no Adamm; did you mean Adam?": {
        "optimizer": {"class_path": "Adamm", "init_args": {"lr": 0.1}}
    },
    "model.optimizer.lr is big; give float": {
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": "big"}}
    },
    "model.lr_scheduler needs --model.lr_scheduler.step_size": {"lr_scheduler": "torch.optim.lr_scheduler.StepLR"},
    "trainer.callbacks is lightning.pytorch.callbacks.EarlyStoppin, but lightning.pytorch.callbacks has no EarlyStoppin"
    "; did you mean EarlyStopping?": {"callbacks": [{"class_path": "lightning.pytorch.callbacks.EarlyStoppin"}]},
    "trainer.logger is CSVLoger, but lightning.pytorch.loggers has no CSVLoger; did you mean CSVLogger?": {
        "logger": {"class_path": "CSVLoger", "init_args": {"save_dir": "."}}
    },
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_wrong_class_is_told_in_one_line(message, tmp_path, monkeypatch, capsys):
    """Catches a value that is named as the mistake where its class is, and settings printed as Python objects."""
    config = yaml.safe_load((ROOT / "configs/mlp.yaml").read_text())
    for name, value in MISTAKES[message].items():
        config["model" if name in config["model"] else "trainer"][name] = value
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit) as error:
        application.main(["fit", "--config=a.yaml"])
    assert error.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith(f"error: {message}") for line in lines] == [True]
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]
