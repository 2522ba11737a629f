"""The order of arguments."""

from argparse import ArgumentError

import pytest

from mm_lightning import UserError
from mm_lightning.cli.options.arguments import ordered, refuse_incomplete


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("fit --data.path X -c C", "fit --config=C --data.path=X"),
        (
            "fit --a.b.c 1 --a.b M --a F -cC --config=D -c=E",
            "fit --config=C --config=D --config=E --a=F --a.b=M --a.b.c=1",
        ),
        ("fit --a.class_path M --a.b 1 --a N", "fit --a.class_path=M --a=N --a.b=1"),
        ("fit --x=1 --y -1 --x=2", "fit --x=1 --y=-1 --x=2"),
        ("fit --l+=A --l.p 1 --l+=B --l.p 2 --l=[] --k.m 3", "fit --l=[] --l+=A --l.p=1 --l+=B --l.p=2 --k.m=3"),
        ("score w --ckpt_path C v=1 -- --config D", "score --ckpt_path=C w v=1 -- --config D"),
        ("fit --print_config --x 1 --y", "fit --x=1 --print_config --y"),
        ("score a --y --x", "score --y --x a"),
    ],
)
def test_options_stand_in_the_order_of_their_precedence(given: str, expected: str):
    """Catches an option that a config overrules, elements that change places, and a word taken for a value."""
    assert ordered(given.split()) == expected.split()


@pytest.mark.parametrize(
    ("args", "message"),
    [(["fit", "--data.path=x"], "fit needs --config"), (["predict", "--config=x"], "predict needs --ckpt_path")],
)
def test_an_incomplete_command_line_is_refused(args: list[str], message: str):
    """Catches a fit of no model, and an error from deep inside for a command without a checkpoint."""
    refuse_incomplete([*args, "--print_config"])
    with pytest.raises(ArgumentError, match=message):
        refuse_incomplete(args)


def test_a_value_that_ends_the_options_is_refused():
    """Catches a list in place of the value, which argparse makes of `--`."""
    with pytest.raises(UserError, match="--ckpt_path is --"):
        ordered(["score", "--ckpt_path=--"])
