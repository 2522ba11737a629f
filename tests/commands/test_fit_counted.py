"""Networks that count, through the commands."""

import pytest
from run_command import ROOT, run

from mm_lightning import UserError
from mm_lightning.cli.application import main
from mm_lightning.training.callbacks import Embeddings

COUNT = ("fit", "--config", str(ROOT / "configs/bigram_counts.yaml"))
WORDS = "\n".join(
    ["cc", "ab", "ba", "abba", "bab", "aab", "b", "a", "bb", "abab", "aa"]
)  # cc falls to dev, and no other word has a c


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "words.txt").write_text(WORDS)
    return tmp_path


def test_a_count_is_one_pass_and_final(folder):
    """Catches a pass that is lost, because Lightning takes step 0 for saved, and a second on top of the first."""
    fitted = run(*COUNT, "--data.path", "words.txt", cwd=folder)
    assert fitted.returncode == 0, fitted.stderr
    assert "best checkpoint:" in fitted.stdout
    again = run("fit", "--ckpt_path", "last", cwd=folder)
    assert again.returncode == 1
    assert "fitted by counting, which is done" in again.stderr.splitlines()[-1]
    scored = run("score", "--ckpt_path", "best", "ab", cwd=folder)
    assert scored.returncode == 0, scored.stderr


def test_without_smoothing_the_loss_is_infinite_and_said_to_be(folder):
    """Catches a NaN, a crash of the logger, or an infinity without a word."""
    smoothing = "--model.network.init_args.smoothing"
    fitted = run(*COUNT, "--data.path", "words.txt", smoothing, 0, cwd=folder)
    assert fitted.returncode == 0, fitted.stderr
    assert "val/loss inf" in fitted.stdout
    assert "val/loss is infinite: the model gives some item probability 0" in fitted.stderr
    scored = run("score", "--ckpt_path", "best", "cc", cwd=folder)
    assert scored.stdout.splitlines()[-1] == "cc\tinf\tinf"
    assert run("predict", "--ckpt_path", "best", cwd=folder).returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data.batch_size", 4), "data.batch_size is 4, but counting sees every example once; set it to null"),
        (("--trainer.max_epochs", 3), "trainer.max_epochs is 3, but counting sees every example once; set it to 1"),
        (("--trainer.max_steps", 9), "trainer.max_steps is 9, but counting sees every example once; set it to -1"),
        (("--model.optimizer", "torch.optim.SGD"), "NGram does not learn by gradient; leave model.optimizer"),
        (("--model.network", "mm_lightning.networks.GRU"), "GRU learns by gradient; give model.optimizer"),
    ],
    ids=["batches", "epochs", "steps", "optimiser", "no optimiser"],
)
def test_what_counting_cannot_heed_is_an_error(folder, options, message):
    """Catches settings ignored without a word, and folders of runs that never began."""
    done = run(*COUNT, "--data.path", "words.txt", *options, cwd=folder)
    assert done.returncode in (1, 2)
    assert message in done.stderr.splitlines()[-1]
    assert not (folder / "lightning_logs").exists()


def test_a_finished_count_is_kept_whatever_happens_next(folder, monkeypatch):
    """Catches a run that is taken for one that never began, because it has made no step, and removed."""
    monkeypatch.chdir(folder)

    def fail(*_):
        raise UserError("the disk is full")

    monkeypatch.setattr(Embeddings, "on_train_end", fail)
    with pytest.raises(SystemExit):
        main([*COUNT, "--data.path", "words.txt"])
    assert (folder / "lightning_logs/version_0/checkpoints/last.ckpt").is_file()
