"""Errors of the parser are one line, said once."""

import pytest
from run_command import FIT, run


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--config", "nofile.yaml"), "--config nofile.yaml: no such file; name a file with settings in YAML"),
        (("--model.network.init_args.foo", 3), "Parser key \"model.network\": Option 'foo' is not accepted"),
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
