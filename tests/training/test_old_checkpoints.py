"""Checkpoints of every version that was released open, score, sample and resume for ever.

`old_checkpoints/` has 40 steps of small networks of each kind on the shipped data: most by version 0.1, before the
package had folders; `steps_of_five` and `dropout` by the last version before files had a checksum and a format number.
"""

from pathlib import Path

import pytest
from run_command import run

from mm_lightning.training.checkpoint import load

CHECKPOINTS = Path(__file__).parent / "old_checkpoints"
NLL = {  # as these versions printed it
    "windows": {"emma": 14.0756, "olivia": 22.5933},
    "blocks": {"emma": 14.5380, "olivia": 23.0058},
    "sequences": {"emma": 15.6337, "olivia": 22.7047},
    "transformer": {"emma": 15.9953, "olivia": 22.6757},
    "counted": {"emma": 12.5800, "olivia": 17.5266},
    "steps_of_five": {"emma": 15.9360, "olivia": 21.1298},
    "dropout": {"emma": 15.4693, "olivia": 20.7216},
    "sentences": {"the.old.dog": 8.0719},
}


def test_every_checkpoint_is_tried():
    """Catches a checkpoint that lies in the folder and is never opened."""
    assert {path.stem for path in CHECKPOINTS.glob("*.ckpt")} == set(NLL)


@pytest.mark.parametrize("kind", NLL)
def test_an_old_checkpoint_gives_the_old_scores(kind: str, tmp_path: Path):
    """Catches a weight that is lost or swapped when a class or an attribute is renamed."""
    done = run("score", "--ckpt_path", CHECKPOINTS / f"{kind}.ckpt", *NLL[kind], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = {line.split("\t")[0]: float(line.split("\t")[1]) for line in done.stdout.splitlines()[1:]}
    assert found == pytest.approx(NLL[kind], abs=2e-3)


@pytest.mark.parametrize("kind", NLL)
def test_an_old_checkpoint_samples(kind: str, tmp_path: Path):
    """Catches settings of a checkpoint that are no longer understood."""
    done = run("predict", "--ckpt_path", CHECKPOINTS / f"{kind}.ckpt", "--sampling.num_samples", 5, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5


@pytest.mark.parametrize("kind", [kind for kind in NLL if kind != "counted"])
def test_an_old_checkpoint_resumes(kind: str, tmp_path: Path):
    """Catches a state of optimiser, data, callbacks or random generators that is no longer found under its key."""
    old = CHECKPOINTS / f"{kind}.ckpt"
    done = run("fit", "--ckpt_path", old, "--trainer.max_steps", 50, "--trainer.limit_val_batches", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    new = load(tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt")
    before = load(old)
    assert new["global_step"] == 50
    assert new["data"]["position"] == before["data"]["position"] + 10
    assert new["data"]["digest"] == before["data"]["digest"]
    assert set(new["callbacks"]) == {"best_checkpoint", "plateau", "random_state", "run_config"}
