"""Ctrl-C before anything is done: one line, the signal's status, and no trace."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from run_command import FIT, ROOT, Command

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


# imported one after the other by `fit`, from the first package that the entrance needs
PACKAGES = ("numpy", "jsonargparse", "torch", "lightning.fabric", "lightning.pytorch", "mm_lightning.cli.application")


@pytest.mark.parametrize(
    "package", [pytest.param(name, marks=() if name == "torch" else pytest.mark.slow) for name in PACKAGES]
)
def test_a_stop_during_the_imports_is_one_line(tmp_path, package):
    """Catches a traceback from the middle of an import, and a folder of a run that never began."""
    (tmp_path / "words.txt").write_text("\n".join(f"{a}{b}n" for a in "bdkl" for b in "aeiou"))
    options = (*FIT, "--data.path", "words.txt", "--trainer.max_steps", 10**6, "--trainer.steps_per_execution", 1)
    command = [sys.executable, "-X", "importtime", "-m", "mm_lightning", *map(str, options)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, **pipes) as process:
        lines = [next(line for line in process.stderr if line.rpartition("|")[2].strip() == package)]
        process.send_signal(signal.SIGINT)
        lines += process.stderr
    lines = [line for line in lines if not line.startswith("import time:")]
    assert process.returncode == 130, lines
    assert lines[-1].startswith("stopped by SIGINT"), lines
    assert not any("Traceback" in line for line in lines), lines
    for run in tmp_path.glob("lightning_logs/version_*"):
        assert (run / "checkpoints/last.ckpt").is_file(), lines


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("command", [("report",), FIT])
def test_a_stop_while_the_data_are_read_is_one_line(tmp_path, command, signum, status):
    """Catches a traceback, and a run folder made before the data are read."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = Command(*command, "--data.path", pipe, cwd=tmp_path)
    with pipe.open("w") as file:  # opens once the command opens the pipe, too
        file.write("ab\n")
        file.flush()
        timer = threading.Timer(0.2, os.kill, (process.process.pid, signum))
        timer.start()
        result = process.wait()
    assert (result.returncode, result.stdout) == (status, "")
    assert result.stderr.splitlines()[-1] == f"stopped by {signum.name}"
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
