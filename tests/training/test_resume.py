"""A run that was stopped and resumed is the run that was not, bit for bit."""

from contextlib import chdir
from pathlib import Path

import pytest
import torch
from compare import equal
from filelock import FileLock, Timeout
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mm_lightning.cli.application import main
from mm_lightning.training import checkpoint
from mm_lightning.training.callbacks import BestCheckpoint

STEPS = 60  # two epochs of 26 steps and a part of a third


def fit(words, *options, steps=STEPS, every=1000):
    main(
        [
            *("fit", "--data.path", str(words), "--data.batch_size", "5", "--model.network.class_path"),
            *("dropout_mlp.DropoutMLP", "--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.01"),
            *("--model.lr_scheduler", "torch.optim.lr_scheduler.ExponentialLR", "--model.lr_scheduler.gamma", "0.99"),
            *("--trainer.max_steps", str(steps), "--last.every_n_train_steps", str(every), *options),
        ]
    )


def last(run="version_0"):
    return torch.load(Path("lightning_logs") / run / "checkpoints/last.ckpt", weights_only=True)


def test_samples_leave_no_trace(words):
    """Catches batch statistics that sampling or validation moves, and dropout that they leave off or disturb."""
    network = ("--model.network.class_path", "mm_lightning.networks.MLP", "--model.network.batch_norm", "true")
    dropout = ("--model.network.dropout", "0.2")
    fit(words, *network, *dropout)
    fit(words, *network, *dropout, "--samples.num_samples", "0", "--trainer.check_val_every_n_epoch", "2")
    with_samples, without = last(), last("version_1")
    assert equal(with_samples["state_dict"], without["state_dict"])
    assert "network.hidden.1.running_mean" in without["state_dict"]


@pytest.fixture(scope="module")
def whole(words_elsewhere):
    """The checkpoint of a run that was not interrupted; tests only read it."""
    with chdir(words_elsewhere.parent):
        fit(words_elsewhere)
        return last()


@pytest.mark.parametrize("step", [1, 7, 25, 26, 27, 30, 51, 52, 53, 59])
def test_resumed_run_equals_uninterrupted_run(words, whole, step):
    """Catches a lost position, shuffle, random state, schedule or momentum, at, before and after an epoch's end."""
    fit(words, steps=step)
    fit(words, "--ckpt_path", "last")
    resumed = last()
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "train_loss"):
        assert equal(whole[key], resumed[key]), key
    assert whole["data"] == resumed["data"]
    assert [p.name for p in sorted(Path("lightning_logs").iterdir())] == ["version_0"]


def curve(run, tag):
    events = EventAccumulator(str(Path("lightning_logs") / run))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


class EachMeasured(BestCheckpoint):
    """Callback that saves every measured step as if it were the best, in files of their own."""

    def on_validation_end(self, trainer, pl_module):
        self.score = None
        super().on_validation_end(trainer, pl_module)
        self.path = Path(f"{trainer.global_step}.ckpt")


@pytest.mark.parametrize("across", [(), ("--trainer.check_val_every_n_epoch", "null")])
def test_the_best_weights_are_those_that_were_measured(words, across):
    """Catches weights saved at an epoch's end beside a val/loss of before, and a run that cannot go on from them."""
    intervals = ("--trainer.val_check_interval", "10", *across)
    fit(words, *intervals)
    measured = curve("version_0", "val/loss")
    best = torch.load("lightning_logs/version_0/checkpoints/best.ckpt", weights_only=True)
    assert best["global_step"] == min(measured, key=lambda point: point[1])[0]
    with pytest.MonkeyPatch.context() as patch:  # the measured step that is best may be the last; go on from each
        patch.setattr("mm_lightning.cli.application.BestCheckpoint", EachMeasured)
        fit(words, *intervals)
    saved = sorted(int(path.stem) for path in Path().glob("*.ckpt"))
    assert saved == [step for step, _ in measured]
    for step in saved[:-1]:
        fit(words, "--ckpt_path", f"{step}.ckpt", *intervals)
        resumed = max(Path("lightning_logs").iterdir(), key=lambda run: int(run.name.removeprefix("version_"))).name
        assert equal(last()["state_dict"], last(resumed)["state_dict"]), step
        assert curve(resumed, "val/loss") == [point for point in measured if point[0] > step]


def test_resumed_curves_are_those_of_the_uninterrupted_run(words):
    """Catches points that are lost, doubled or moved where a run was interrupted."""
    log = ("--trainer.log_every_n_steps", "10")
    fit(words, *log)
    fit(words, *log, steps=34)
    fit(words, *log, "--ckpt_path", "last")
    assert [step for step, _ in curve("version_0", "train/loss")] == [10, 20, 30, 40, 50, 60]
    assert curve("version_1", "train/loss") == curve("version_0", "train/loss")
    at_end_of_first_part = [point for point in curve("version_1", "val/loss") if point[0] == 34]
    assert len(at_end_of_first_part) == 1
    rest = [point for point in curve("version_1", "val/loss") if point not in at_end_of_first_part]
    assert rest == curve("version_0", "val/loss")


def test_going_on_from_an_earlier_checkpoint_keeps_what_came_after(words):
    """Catches a resumed run that writes over later checkpoints of the folder it came from."""
    fit(words, steps=26)
    kept = Path("lightning_logs/version_0/checkpoints/last.ckpt").rename("early.ckpt")
    fit(words, "--ckpt_path", str(kept), steps=30)
    assert last("version_1")["global_step"] == 30


def test_new_optimiser_settings_count_when_a_run_is_resumed(words):
    """Catches a learning rate on the command line that the optimiser's saved state overrules."""
    fit(words, steps=30)
    fit(words, "--ckpt_path", "last", "--model.optimizer.lr", "0.5", steps=31)
    group = last()["optimizer_states"][0]["param_groups"][0]
    assert group["initial_lr"] == 0.5
    assert group["lr"] == pytest.approx(0.5 * 0.99**31)
    assert last()["lr_schedulers"][0]["_last_lr"] == [group["lr"]]


def test_other_data_cannot_be_resumed_on(words, capsys):
    """Catches a position in an epoch that means other words."""
    fit(words, steps=30)
    words.write_text("\n".join(reversed(words.read_text().splitlines())))
    with pytest.raises(SystemExit):
        fit(words, "--ckpt_path", "last")
    assert "is not what this checkpoint was trained on" in capsys.readouterr().err
    assert last()["global_step"] == 30


def test_a_diverged_run_stops_and_keeps_its_sound_checkpoint(words, capsys):
    """Catches weights that are not numbers written over weights that are."""
    fit(words, steps=30)
    with pytest.raises(SystemExit):
        fit(words, "--ckpt_path", "last", "--model.optimizer.lr", "1e30", "--trainer.log_every_n_steps", "1", every=1)
    assert "training diverged" in capsys.readouterr().err
    assert all(value.isfinite().all() for value in last()["state_dict"].values())


def test_two_processes_cannot_train_in_one_folder(words, capsys):
    """Catches two runs that write each other's checkpoints."""
    fit(words, steps=30)
    with FileLock("lightning_logs/version_0/.lock"), pytest.raises(SystemExit):
        fit(words, "--ckpt_path", "last")
    assert "another process is training in" in capsys.readouterr().err


def test_a_run_is_locked_by_whatever_path(words, capsys, monkeypatch):
    """Catches a path relative to the checkpoints, from which another folder was locked."""
    fit(words, steps=30)
    monkeypatch.chdir("lightning_logs/version_0/checkpoints")
    with FileLock("../.lock"), pytest.raises(SystemExit):
        fit(words, "--ckpt_path", "last.ckpt")
    assert "another process is training in" in capsys.readouterr().err


def test_last_is_that_of_the_folder_in_a_config(words):
    """Catches a run in the folder of the command that is resumed in place of the one in a config's folder."""
    Path("root.yaml").write_text("trainer: {default_root_dir: elsewhere}\n")
    fit(words, steps=3)
    fit(words, "--config", "root.yaml", steps=4)
    before = Path("lightning_logs/version_0/checkpoints/last.ckpt").read_bytes()
    fit(words, "--config", "root.yaml", "--ckpt_path", "last", steps=6)
    assert Path("lightning_logs/version_0/checkpoints/last.ckpt").read_bytes() == before
    assert torch.load("elsewhere/lightning_logs/version_0/checkpoints/last.ckpt")["global_step"] == 6


def test_the_command_to_resume_gives_again_what_no_checkpoint_names(words):
    """Catches a printed command that is refused, or that leaves out callbacks."""
    last_ckpt = Path("lightning_logs/version_0/checkpoints/last.ckpt")
    fit(words, steps=3)
    named = "--model.network dropout_mlp.DropoutMLP"
    assert checkpoint.command_to_resume(last_ckpt) == f"python -m mm_lightning fit --ckpt_path {last_ckpt} {named}"
    fit(words, "--trainer.callbacks+=EMAWeightAveraging", steps=3)
    other = Path("lightning_logs/version_1/checkpoints/last.ckpt")
    assert checkpoint.command_to_resume(other) == f"the same command with --ckpt_path {other}"


def test_a_resume_holds_the_run_before_it_reads_the_checkpoint(words, monkeypatch):
    """Catches steps that another process takes between reading and locking: the resumed run hides their curves."""
    fit(words, steps=10)
    read, was_held = checkpoint.read, []

    def watched(path, *rest):
        with pytest.raises(Timeout):
            FileLock("lightning_logs/version_0/.lock").acquire(blocking=False)
        was_held.append(path)
        return read(path, *rest)

    monkeypatch.setattr(checkpoint, "read", watched)
    fit(words, "--ckpt_path", "last", steps=12)
    assert len(was_held) == 1
    FileLock("lightning_logs/version_0/.lock").acquire(blocking=False).lock.release()


def test_a_run_goes_on_in_the_middle_of_an_epoch_that_its_end_cut_off(words):
    """Catches an epoch counted twice, or begun anew, where max_steps ended it and is raised."""
    fit(words)
    whole = last()
    fit(words, steps=40)
    fit(words, "--ckpt_path", "last")
    resumed = last("version_1")
    assert equal(whole["loops"], resumed["loops"])
    assert whole["epoch"] == resumed["epoch"] == 2


def test_a_checkpoint_cannot_name_a_class_for_the_trainer(words, tmp_path, monkeypatch):
    """Catches a stranger's module imported because a resumed run takes its callbacks from the checkpoint."""
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    fit(words, steps=5)
    path = Path("lightning_logs/version_0/checkpoints/last.ckpt")
    content = torch.load(path, weights_only=True)
    state = content["callbacks"]["run_config"]
    assert "callbacks: null" in state["config"]
    state["config"] = state["config"].replace("callbacks: null", "callbacks: evil_module.Callback")
    torch.save(content, path)
    main(["fit", "--ckpt_path", str(path), "--trainer.max_steps", "6", "--config", str(dropout_config(tmp_path))])
    assert last()["global_step"] == 6


def dropout_config(folder):
    """A file that names the test's own network, which makes it trusted."""
    path = folder / "network.yaml"
    path.write_text("model: {network: {class_path: dropout_mlp.DropoutMLP}}")
    return path
