"""Command lines of every command with hostile values: success, or one line and nothing half-made, in bounded time."""

import pytest
import torch
from hostile import COMMAND_LINES, KEPT, VALUES, folder, options_of  # noqa: F401 # a fixture
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from limited import clean, fault, run_limited
from run_command import FIT, run

from mm_lightning.commands.catalogue import COMMANDS

KNOWN = [  # each was a traceback, a hang or an ignored setting
    ("score", "a sentence of over 255 bytes, which is no file name: " + "anna " * 60),
    ("predict", "--sampling.prefix", "é" * 300),
    ("predict", "--sampling.num_samples", "1e30"),
    ("predict", "--sampling.max_length", 2**40),
    ("fit", "--model.network.init_args.hidden_dim", -5),
    ("fit", "--model.network.init_args.hidden_dim", "null"),
    ("fit", "--model.network.init_args.hidden_dim", 10**6, "--model.network.init_args.num_layers", 2),
    ("fit", "--model.network.init_args.hidden_dim", 2**70),
    ("fit", "--model.network.init_args.dropout", 1),
    ("fit", "--model.optimizer.init_args.lr", "null"),
    ("fit", "--trainer.accumulate_grad_batches", -1),
    ("fit", "--trainer.max_steps", 2**70),
    ("fit", "--trainer.devices", "x"),
    ("fit", "--trainer.devices", 2**70),
    ("fit", "--trainer.strategy", "ddp_spawn", "--trainer.accelerator", "cpu", "--trainer.devices", 2),
    ("fit", "--trainer.num_nodes", 0),
    ("fit", "--data.path", "words\udcff.txt"),
    ("score", "\udcff"),
    ("sweep", "--trials", 2**70),
    ("lr_find", "--num_steps", 2**70),
    ("lr_find", "--output", ""),
    ("lr_find", "--output", "."),
    ("lr_find", "--output", "x" * 300 + ".png"),
    ("fit", "--model.lr_scheduler.init_args.step_size", 0),
    ("validate", "--ckpt_path", "x" * 300),
    ("plot", "--output", "words.txt"),
    ("plot", "--output", "x" * 300),
]


@pytest.mark.parametrize(("command", "options"), [(name, rest) for name, *rest in KNOWN])
def test_a_mistake_is_one_line(folder, command, options):  # noqa: F811
    """Catches each command line that once was a traceback, a hang, or a setting passed over."""
    done = run_limited(*COMMAND_LINES[command], *options, cwd=folder)
    assert done.returncode in (1, 2), done.stderr
    assert fault(done, folder) is None, done.stderr
    clean(folder, KEPT)


def tried(folder, count):  # noqa: F811
    """Run this number of command lines; return how they ended."""
    options = {command: options_of(command, folder) for command in COMMANDS}
    extra = st.sampled_from(sorted(options)).flatmap(
        lambda command: st.tuples(
            st.just(command),
            st.lists(st.tuples(st.sampled_from(options[command]), st.sampled_from(VALUES)), min_size=1, max_size=2),
        )
    )
    ended, faults = [], []

    @settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(extra=extra)
    def property_of(extra):
        command, pairs = extra
        done = run_limited(*COMMAND_LINES[command], *(f"--{name}={value}" for name, value in pairs), cwd=folder)
        ended.append(done.returncode)
        if wrong := fault(done, folder):
            faults.append((wrong, command, [(name, value[:50]) for name, value in pairs], done.stderr[-600:]))
        clean(folder, KEPT)

    property_of()
    return ended, faults


@pytest.mark.parametrize("count", [12, pytest.param(1000, marks=pytest.mark.slow)])
def test_any_command_line_succeeds_or_is_one_line(folder, count):  # noqa: F811
    """Catches a traceback, a hang, memory out of proportion, status 0 after an error, and half-made folders."""
    ended, faults = tried(folder, count)
    print(f"{len(ended)} command lines, {ended.count(0)} succeeded, {len(faults)} faults")
    for wrong in faults:
        print(*wrong, sep="\n  ")
    assert len(ended) >= count
    assert not faults


@pytest.mark.parametrize("command", [name for name, entry in COMMANDS.items() if not entry.is_light])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folder, command, value):  # noqa: F811
    """Catches a traceback of a plot, and a score of nan with status 0."""
    content = torch.load(folder / "run.ckpt", weights_only=True)
    content["state_dict"]["network.output.bias"][0] = value
    torch.save(content, folder / "diverged.ckpt")
    done = run_limited(*COMMAND_LINES[command], "--ckpt_path", "diverged.ckpt", cwd=folder)
    assert (done.returncode, done.stdout, fault(done, folder)) == (1, "", None), done.stderr
    assert "has weights that are not finite" in done.stderr
    clean(folder, KEPT)


ORDERS = {
    "fit": [
        ("--data.path", "words.txt"),
        ("--trainer.max_steps", "20"),
        ("-c", "configs/mlp.yaml"),
        ("--model.network.init_args.hidden_dim", "5"),
        ("--data.batch_size=7",),
    ],
    "predict": [
        ("--ckpt_path", "run.ckpt"),
        ("--config=later.yaml",),
        ("--data.split", "unique"),
        ("--sampling.num_samples", "3"),
    ],
    "lr_find": [
        ("--model.network", "mm_lightning.networks.GRU"),
        ("--model.network.embed_dim", "5"),
        ("--model", "model.yaml"),
        ("--config", "configs/mlp.yaml"),
        ("--trainer.callbacks+=lightning.pytorch.callbacks.LearningRateMonitor",),
    ],
}


@pytest.mark.parametrize("count", [3, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("command", ORDERS)
def test_the_order_of_options_has_no_effect(folder, command, count):  # noqa: F811
    """Catches a config file that overrules an option because the file stands behind the option."""
    (folder / "later.yaml").write_text("data: {split: lecture, batch_size: 9}\n")
    (folder / "model.yaml").write_text("optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.5}}\n")
    printed = []

    @settings(max_examples=count, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
    @given(order=st.permutations(ORDERS[command]))
    def property_of(order):
        done = run(command, *(part for option in order for part in option), "--print_config", cwd=folder)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)

    property_of()
    reversed_order = [part for option in reversed(ORDERS[command]) for part in option]
    printed.append(run(command, *reversed_order, "--print_config", cwd=folder).stdout)
    assert len(set(printed)) == 1
    wanted = {"fit": "max_steps: 20", "predict": "split: unique", "lr_find": "embed_dim: 5"}[command]
    assert wanted in printed[0]
    clean(folder, KEPT)


def test_two_configs_keep_their_order(folder):  # noqa: F811
    """Catches configs that are sorted: the later one overrules the earlier one."""
    for name, size in (("a.yaml", 3), ("b.yaml", 4)):
        (folder / name).write_text(f"data: {{batch_size: {size}}}\n")
    for names, size in ((("a.yaml", "b.yaml"), 4), (("b.yaml", "a.yaml"), 3)):
        configs = [part for name in names for part in ("--config", name)]
        printed = run(*FIT, *configs, "--print_config", cwd=folder).stdout
        assert f"batch_size: {size}" in printed
    clean(folder, KEPT)
