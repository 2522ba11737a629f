"""What is refused before Lightning is imported is what the parser refuses, in the same words."""

import re
from argparse import ArgumentError
from importlib import import_module
from inspect import signature
from typing import get_type_hints

import pytest
import torch
import yaml
from run_command import ROOT

import mm_lightning.networks
from mm_lightning import UserError
from mm_lightning.cli import application
from mm_lightning.cli.options import refusals
from mm_lightning.cli.options.arguments import ordered, peek
from mm_lightning.cli.options.refusals import refuse_early, tell_unused_seed
from mm_lightning.commands.parts.parsing.source import arguments

MLP = yaml.safe_load((ROOT / "configs/mlp.yaml").read_text())


def refusal(line):
    """The error that is told before an import; None for a line that is left to the parser."""
    try:
        refuse_early(line)
    except (ArgumentError, UserError) as error:
        return str(error)
    return None


def parsers_error(line, capsys):
    """The error of the command's own parser."""
    with pytest.raises(SystemExit):
        application.main(line)
    return capsys.readouterr().err.splitlines()[-1].removeprefix("error: ")


def test_the_sections_are_those_of_the_parser():
    """Catches an option that is refused as misspelled, or for its value, although the parser takes it."""
    for section, (module, name) in refusals.SECTIONS.items():
        names, types = set(), {}
        for kind in reversed(getattr(import_module(module), name).__mro__):
            if "__init__" in vars(kind) and kind is not object:
                names |= signature(kind.__init__).parameters.keys()
                types |= get_type_hints(kind.__init__)
        known = refusals._arguments(section)
        assert set(known) <= names - {"self", "args", "kwargs"}
        assert set(known) >= signature(getattr(import_module(module), name)).parameters.keys() - {"args", "kwargs"}
        found = refusals._types(known)
        assert found == {name: types[name] for name in found}
    assert {"max_steps", "limit_val_batches", "devices", "compile"} <= refusals._arguments("trainer").keys()
    assert {"path", "split", "batch_size"} <= refusals._types(refusals._arguments("data")).keys()


def test_the_arguments_of_a_class_are_those_of_its_constructor():
    """Catches an argument of a class, or of its base, that is refused."""
    kinds = {name: getattr(mm_lightning.networks, name) for name in mm_lightning.networks.__all__}
    kinds |= {name: getattr(torch.optim, name) for name in ("SGD", "AdamW", "LBFGS")}
    kinds |= {name: getattr(torch.optim.lr_scheduler, name) for name in ("StepLR", "OneCycleLR", "ReduceLROnPlateau")}
    for name, kind in kinds.items():
        module = {"m": "mm_lightning.networks", "t": "torch.optim"}[kind.__module__[0]]
        module += ".lr_scheduler" * kind.__module__.endswith("lr_scheduler")
        assert arguments(module, name).keys() == signature(kind).parameters.keys(), name


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("--trainer.max_stepz 3", "--trainer.max_stepz=3; did you mean --trainer.max_steps?"),
        ("--trainer.callback+ X", "--trainer.callback+=X; did you mean --trainer.callbacks?"),
        ("--model.netwrok.hidden_dim=3", "--model.netwrok.hidden_dim=3; did you mean --model.network?"),
        ("--data.batch_sise 3 --foo 4", "--data.batch_sise=3; did you mean --data.batch_size?"),
    ],
)
def test_misspelled_options_are_refused_before_lightning_is_imported(line, meant):
    """Catches an error in arguments that takes seconds."""
    with pytest.raises(ArgumentError, match=f"^{re.escape(f'unrecognized arguments: {meant}')}$"):
        refuse_early(ordered(["fit", "--config", str(ROOT / "configs/mlp.yaml"), *line.split()]))


@pytest.mark.parametrize(
    "option",
    [
        "--trainer.max_steps=abc",
        "--trainer.limit_val_batches=1.5",
        "--trainer.devices=two",
        "--trainer.default_root_dir=s3://bucket/runs",
        "--data.batch_size=0",
        "--data.split=half",
        "--data.path=nosuch.txt",
        "--data.path=[data/names.txt,nosuch.txt]",
        "--samples.num_samples=-1",
        "--seed_everything=x",
        "--model.network.hiden_dim=3",
        "--model.network.init_args.hidden_dim=0",
        "--model.optimizer.lrr=1",
        "--model.lr_scheduler.gamma=x",
    ],
)
def test_a_wrong_value_is_refused_before_lightning_is_imported(option, capsys):
    """Catches an error in arguments that takes seconds, or is another than the parser's."""
    line = ordered(["fit", "--config", str(ROOT / "configs/mlp.yaml"), option])
    early = refusal(line)
    assert early is not None
    assert early == parsers_error(line, capsys)


@pytest.mark.parametrize(
    "line",
    [
        "--trainer.max_steps 3 --trainer.callbacks+ X --trainer.callbacks.monitor val/loss --print_config",
        "--model.network MLP --model.network.hidden_dim 3 --data {path:x}",
        "--data.nothing_like_it 3 --samples.often 3 --seed_everithing 1 --trainer c.yaml -- --trainer.max_stepz",
        "--trainer.devices auto --trainer.compile null --trainer.check_val_every_n_epoch auto --data.batch_size null",
        "--data.path data/names.txt,data/sentences.txt --trainer.accelerator x --trainer.limit_val_batches 1.0",
    ],
)
def test_other_options_are_left_to_the_parser(line):
    """Catches an option that is refused although it is right, or though only the parser knows what is wrong."""
    assert refusal(ordered(["fit", "--config", str(ROOT / "configs/mlp.yaml"), *line.split()])) is None


def changed(**settings):
    """The settings of configs/mlp.yaml with others; a name that is wrong takes the place of the right one."""
    result = yaml.safe_load(yaml.safe_dump(MLP))
    for key, value in settings.items():
        *sections, name = key.split("__")
        part = result
        for section in sections:
            part = part.setdefault(section, {})
        part[name] = value
    return result


WRONG = [
    changed(trainer__max_steps="three"),
    changed(trainer__max_stepz=3),
    changed(trainer__maximum=3),
    changed(trainer__nothing=[1, 2]),
    changed(trainer__default_root_dir="memory://runs"),
    changed(data__path="nosuch.txt"),
    changed(data__split="lectur"),
    changed(last__every=3),
    changed(seed_everything="x"),
    changed(model__network__init_args__hiden_dim=3),
    changed(model__network__init_args__hidden_dim="many"),
    changed(model__network={"class_path": "LSTM", "init_args": {"block_size": 3}}),
    changed(model__optimizer__init_args__momentum="x"),
    changed(model__optimizer__init_args__lrr=0.1),
    changed(model__lr_scheduler__init_args__stepsize=1),
]


@pytest.mark.parametrize("settings", WRONG)
def test_a_wrong_config_is_refused_before_lightning_is_imported(settings, tmp_path, capsys):
    """Catches a mistake in a config file that is told after seconds, or in other words than the parser's."""
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(settings))
    line = ordered(["fit", "--config", str(tmp_path / "a.yaml")])
    early = refusal(line)
    assert early is not None
    assert early == parsers_error(line, capsys)


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (changed(data__path="nosuch.txt"), "--data.path data/names.txt"),
        (changed(model__network__init_args__hidden_dim=None, trainer__accumulate_grad_batches=None), ""),
        (changed(data=None, last={}, trainer__callbacks=[{"class_path": "X"}]), ""),
        (changed(model__network__class_path="nosuch.Net", model__network__init_args__width=3), ""),
        (changed(model__network="MLP"), "--model.network LSTM --model.network.num_layers 2"),
        (changed(), "--model.network LSTM --model.network.weight_dropout 0.1 --model.optimizer null"),
        (changed(), "--model.network.help LSTM"),
        (changed(), "--model.network {class_path:LSTM} --model.network.weight_dropout 0.1"),
        (changed(model__optimizer__class_path="AdamW"), "--model.optimizer.amsgrad true --model.optimizer.lr 1e-3"),
        (changed(model__network__dict_kwargs={"x": 1}), "--model other.yaml --model.network.foo 3"),
    ],
)
def test_a_right_config_is_left_to_the_parser(settings, options, tmp_path, monkeypatch):
    """Catches a config that is refused although it is right, or though only the parser knows what is wrong."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(settings))
    assert refusal(ordered(["fit", "--config", str(tmp_path / "a.yaml"), *options.split()])) is None


@pytest.mark.parametrize("later", ["d.yaml", "{path: data/names.txt}"])
def test_data_given_as_a_whole_are_left_to_the_parser(tmp_path, monkeypatch, later):
    """Catches a list of a config that is missed, although a later file of settings names another."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(changed(data__path="nosuch.txt")))
    (tmp_path / "b.yaml").write_text("data: {path: [data/names.txt]}\n")
    first = ["fit", "--config", str(tmp_path / "a.yaml")]
    assert refusal(ordered([*first, "--data", later])) is None
    assert refusal(ordered([*first, "--config", str(tmp_path / "b.yaml")])) is None


def test_numbers_as_yaml_writes_them(tmp_path):
    """Catches a hexadecimal number of a config that the command line would not take."""
    (tmp_path / "a.yaml").write_text("trainer: {max_steps: 0x10, max_epochs: ~}\nmodel: {network: MLP}\n")
    assert refusal(ordered(["fit", "--config", str(tmp_path / "a.yaml")])) is None


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("predict", "--seed_everything 3 has no effect on predict; set --sampling.seed"),
        ("quality", "--seed_everything 3 has no effect on quality; set --seed"),
        ("validate", "--seed_everything 3 has no effect on validate"),
        ("fit", None),
        ("lr_find", None),
        ("plot", None),
        ("score --", None),
    ],
)
def test_a_seed_without_effect_is_told(line, note, caplog):
    """Catches a seed of training that is taken for that of samples, and is passed over without a word."""
    with caplog.at_level("INFO"):
        tell_unused_seed([*line.split(), "--seed_everything=3"])
    assert caplog.messages == ([] if note is None else [note])


def test_null_is_no_checkpoint():
    """Catches an option against a setting of a config that is taken for a file."""
    line = ["fit", "--config", str(ROOT / "configs/mlp.yaml"), "--teacher", "null", "--init_from", "null"]
    assert refusal(ordered(line)) is None
    assert peek(ordered([*line, "--ckpt_path", "null"])).ckpt_path is None


def test_parts_of_a_config_that_are_named_twice(tmp_path):
    """Catches an alias or a merged part that is refused."""
    text = "trainer: &a {max_steps: 3}\nlast: {every_n_train_steps: 5}\ndata:\n  <<: *a\n"
    (tmp_path / "a.yaml").write_text(text)
    assert refusal(ordered(["fit", "--config", str(tmp_path / "a.yaml")])) is None


def test_own_networks_have_their_own_arguments(tmp_path, monkeypatch):
    """Catches an argument without a type, or of the base, that is refused, and a module that is imported."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_net.py").write_text(
        "import mm_lightning.networks as nets\nraise RuntimeError\n"
        "class Wide(nets.MLP):\n    def __init__(self, vocab_size, width=3, **kwargs):\n        pass\n"
        "Size = Literal['small', 'large']\n"
        "class Sized(nets.MLP):\n    def __init__(self, vocab_size, size: Size = 'small'):\n        pass\n"
        "class Either(nets.MLP):\n    if True:\n        def __init__(self, vocab_size, gain):\n            pass\n"
        "@dataclass\nclass Made(nets.MLP):\n    gain: float\n"
        "class Any(Unknown):\n    def __init__(self, **kwargs):\n        pass\n"
    )
    assert {"width", "hidden_dim"} < arguments("own_net", "Wide").keys()
    assert arguments("own_net", "Any") is arguments("own_net", "Either") is arguments("own_net", "Made") is None
    assert arguments("own_net", "Nosuch") is None
    line = ["fit", "--config", str(ROOT / "configs/mlp.yaml"), "--model.network", "own_net.Wide"]
    assert refusal(ordered([*line, "--model.network.width", "x", "--model.network.hidden_dim", "3"])) is None
    assert refusal(ordered([*line[:-1], "own_net.Sized", "--model.network.size", "large"])) is None
    with pytest.raises(ArgumentError, match=r"^model\.network\.widht is not an option; did you mean width\?$"):
        refuse_early(ordered([*line, "--model.network.widht", "3"]))
