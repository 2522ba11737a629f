"""Every private part of a library that the package overrides, reads or writes exists and means what is relied on.

A release of Lightning, torch or jsonargparse that changes one of them fails here, and not silently in a run.
"""

import ast
import inspect
import re
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import select
from torch import nn
from torch.utils.data import DataLoader

import mm_lightning
from mm_lightning.cli.application import Application
from mm_lightning.training.block_steps import lightning_counters, program_cache
from mm_lightning.training.checkpoint.keys import AVERAGING, TRAINED

PACKAGE = Path(mm_lightning.__file__).parent
PRIVATE_PARTS = {  # the only files that may reach into a library, and the names they reach for
    "cli/options/parser.py": {
        "_get",
        "_instantiate_trainer",
        "_parse_ckpt_path",
        "_prepare_subcommand_kwargs",
        "_subcommand_parsers",
    },
    "commands/parts/parsing/parser.py": {"_SubParsersAction", "_actions"},
    "cli/options/help.py": {"_action_groups", "_actions", "_group_actions"},
    "sweep/storage/database.py": {"_rdb"},
    "networks/recurrent.py": {"_higher_order_ops"},
    "networks/parts/bfloat16.py": {"_is_mkldnn_bf16_supported"},
    "training/block_steps/program_cache.py": {"_inductor"},
    "training/block_steps/traced_block.py": {"_is_compiling_flag"},
    "training/block_steps/lightning_counters.py": {
        "_batches_that_stepped",
        "_can_stop_early",
        "_every_n_train_steps",
    },
    "training/trainer.py": {"_MultiProcessingLauncher"},
    "training/callbacks/averaging.py": {"_average_model", "_latest_update_step"},
    "training/callbacks/run_loggers.py": {"_kwargs"},
    "training/processes/launcher.py": {"_SubprocessScriptLauncher", "_exit", "_launcher"},  # os._exit is documented
}
LIBRARY_CLASSES = (LightningCLI, LightningArgumentParser, pl.Trainer, pl.LightningModule, ModelCheckpoint, nn.Module)
NUM_BATCHES = 3


class TinyModule(pl.LightningModule):
    """One weight, trained for a few steps, as Lightning's own tests have it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class LoopWatcher(Callback):
    """Counters of Lightning's loops as they stand after each batch."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, int]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        loop = trainer.fit_loop.epoch_loop
        self.seen.append(
            (loop.batch_progress.current.ready, loop.batch_progress.total.ready, loop._batches_that_stepped)
        )


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[pl.Trainer, LoopWatcher, ModelCheckpoint]:
    """A fit of three batches by plain Lightning."""
    watcher = LoopWatcher()
    saver = ModelCheckpoint(tmp_path_factory.mktemp("contract"), every_n_train_steps=2)
    trainer = pl.Trainer(
        max_steps=NUM_BATCHES,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watcher, saver],
    )
    trainer.fit(TinyModule(), DataLoader(torch.ones(NUM_BATCHES, 2)))
    return trainer, watcher, saver


def private_names(path: Path) -> set[str]:
    """Names with one leading underscore that a file uses on any object, defines as methods, or imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith("mm_lightning"):
            names |= {alias.name for alias in node.names} | set(str(node.module).split("."))
    documented = {"_fields", "_replace"}  # of a named tuple
    return {name for name in names if re.match(r"_[A-Za-z]", name)} - documented


def of_the_package() -> set[str]:
    """Private names that the package itself gives: functions, classes, and attributes set on self."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return names - set().union(*PRIVATE_PARTS.values())


def test_private_parts_stand_in_the_files_made_for_them():
    """Catches a private name of a library used in a file where no contract is looked for."""
    own = of_the_package()
    for path in PACKAGE.rglob("*.py"):
        allowed = PRIVATE_PARTS.get(path.relative_to(PACKAGE).as_posix(), set())
        assert private_names(path) - own <= allowed, path
        assert allowed <= private_names(path), f"{path} no longer uses all that is listed"


@pytest.mark.parametrize("path", sorted((PACKAGE.parent / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_a_benchmark_imports_what_there_is(path: Path):
    """Catches a benchmark, which no test runs, that imports a name that has moved."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mm_lightning"):
            module = import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name) or find_spec(f"{node.module}.{alias.name}"), alias.name


def test_no_method_overrides_a_private_one_by_accident():
    """Catches a private method of ours that has the name of one of Lightning's and replaces it."""
    for path in PACKAGE.rglob("*.py"):
        allowed = PRIVATE_PARTS.get(path.relative_to(PACKAGE).as_posix(), set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = " ".join(map(ast.unparse, node.bases))
                methods = {f.name for f in node.body if isinstance(f, ast.FunctionDef) and re.match(r"_[a-z]", f.name)}
                for library in LIBRARY_CLASSES:
                    if re.search(rf"\b{library.__name__}\b", bases):
                        assert not {m for m in methods if hasattr(library, m)} - allowed, (path, node.name)


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (LightningCLI, "_parse_ckpt_path", ["self"]),
        (LightningCLI, "_prepare_subcommand_kwargs", ["self", "subcommand"]),
        (LightningCLI, "_instantiate_trainer", ["self", "config", "callbacks"]),
        (LightningCLI, "_get", ["self", "config", "key", "default"]),
        (LightningArgumentParser, "error", ["self", "message", "ex"]),
        (_SubprocessScriptLauncher, "__init__", ["self", "cluster_environment", "num_processes", "num_nodes"]),
        (_SubprocessScriptLauncher, "launch", ["self", "function", "args", "trainer", "kwargs"]),
    ],
)
def test_a_method_has_its_signature(owner: type, name: str, parameters: list[str]):
    """Catches an override that is called with other arguments."""
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


@pytest.mark.parametrize(
    ("caller", "called"),
    [
        (LightningCLI.__init__, "self._parse_ckpt_path()"),
        (LightningCLI._run_subcommand, "self._prepare_subcommand_kwargs(subcommand)"),
        (LightningCLI._run_subcommand, "getattr(self, subcommand, default)"),
        (WeightAveraging.setup, "self._average_model = AveragedModel("),
        (
            WeightAveraging.on_train_batch_end,
            "(trainer.global_step > self._latest_update_step) and self.should_update(",
        ),
        (WeightAveraging.on_train_epoch_end, "(trainer.current_epoch > self._latest_update_epoch) and self.should_upd"),
        (WeightAveraging.on_save_checkpoint, f'checkpoint["{TRAINED}"] = checkpoint["state_dict"]'),
        (WeightAveraging.on_save_checkpoint, f'checkpoint["{AVERAGING}"] = '),
        (Strategy.launcher.fget, "return self._launcher"),
        (_SubprocessScriptLauncher.launch, "_launch_process_observer(self.procs)"),
        (_SubprocessScriptLauncher.launch, "return function(*args, **kwargs)"),
    ],
)
def test_an_override_is_called(caller: object, called: str):
    """Catches an override that Lightning no longer calls, so that its own behaviour comes back without a word."""
    assert called in inspect.getsource(caller)


def test_a_traced_network_knows_that_it_is_compiled(monkeypatch):
    """Catches recurrent networks that are traced with torch's kernel, which takes twice as long as their equations."""
    assert not torch.compiler.is_compiling()
    monkeypatch.setattr(torch.compiler, "_is_compiling_flag", True)
    assert torch.compiler.is_compiling()
    assert not torch.compiler.is_exporting()


def test_the_packager_of_compiled_steps_takes_what_it_is_given():
    """Catches an option of torch's compiler that has gone, and a hash of its settings that leaves one out."""
    config = program_cache.config
    packager, loader = program_cache.aoti_compile_and_package, program_cache.aoti_load_package
    assert {"package_path", "inductor_configs"} <= inspect.signature(packager).parameters.keys()
    assert "run_single_threaded" in inspect.signature(loader).parameters
    assert program_cache._OPTIONS.keys() <= config.get_config_copy().keys()
    before = config.get_hash()
    with config.patch({"cpp.simdlen": 256}):
        assert config.get_hash() != before
    assert config.get_hash() == before


def test_options_and_groups_of_a_parser_are_lists():
    """Catches a help text that can no longer be arranged."""
    parser = LightningArgumentParser()
    group = parser.add_argument_group("some")
    group.add_argument("--option")
    assert [action.dest for action in parser._actions][-1] == "option"
    assert parser._action_groups[-1] is group
    assert [action.dest for action in group._group_actions] == ["option"]


def test_the_parsers_of_subcommands_are_known_by_name():
    """Catches defaults of a checkpoint that are set on a parser nobody uses."""

    class Parsed(Application):
        def instantiate_classes(self) -> None:
            """Parse only."""

        def _run_subcommand(self, subcommand: str) -> None:
            """Run nothing."""

    application = Parsed(["fit", "--model.network", "mm_lightning.networks.Bigram"], "fit")
    assert application.command_parsers().keys() == {"fit"}
    assert isinstance(application.command_parsers()["fit"], LightningArgumentParser)


def test_loops_count_batches_as_relied_on(watched):
    """Catches counters that a block would advance without an effect, or with another one."""
    trainer, watcher, _ = watched
    assert watcher.seen == [(i, i, i - 1) for i in range(1, NUM_BATCHES + 1)]
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == NUM_BATCHES
    progress = trainer.fit_loop.epoch_loop.batch_progress
    assert progress.is_last_batch
    for stage in ("ready", "started", "processed", "completed"):
        assert getattr(progress.current, stage) == NUM_BATCHES


def test_counted_steps_are_global_steps(watched):
    """Catches steps of a block that `global_step` does not show."""
    trainer, _, _ = watched
    assert trainer.global_step == NUM_BATCHES
    trainer.lightning_module.automatic_optimization = False
    before = trainer.global_step
    lightning_counters.count_steps(trainer, 5)
    assert trainer.global_step == before + 5
    trainer.lightning_module.automatic_optimization = True


def test_a_checkpoint_saves_by_steps_as_relied_on(watched):
    """Catches an interval of checkpoints that a block does not see."""
    _, _, saver = watched
    assert saver._every_n_train_steps == 2
    assert ModelCheckpoint()._every_n_train_steps == 0, "only an interval that is set cuts blocks"


def test_checkpoints_have_the_keys_of_lightning(watched):
    """Catches states that are saved and never found again."""
    trainer, _, _ = watched
    loops = trainer.fit_loop.state_dict()
    optimizer_step = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]
    assert optimizer_step.keys() >= {"ready", "completed"}
    assert loops["epoch_loop.manual_optimization.optim_step_progress"]["total"].keys() >= {"ready", "completed"}
    assert pl.LightningModule.CHECKPOINT_HYPER_PARAMS_KEY == "hyper_parameters"
    assert pl.LightningDataModule.CHECKPOINT_HYPER_PARAMS_KEY == "datamodule_hyper_parameters"
    connector = inspect.getsource(type(trainer._checkpoint_connector))
    assert connector.count("datamodule.__class__.__qualname__") == 3, "training/checkpoint/ translates this key"


def test_optuna_has_the_tables_that_a_database_is_asked_for():
    """Catches a lock of a row that is not there, and heartbeats that another column holds."""
    storage = RDBStorage("sqlite://")
    study_id = storage.create_new_study([], "some")
    trial_id = storage.create_new_trial(study_id)
    storage.record_heartbeat(trial_id)
    with storage.engine.connect() as connection:
        assert connection.execute(select(models.VersionInfoModel.version_info_id)).scalars().all() == [1]
        trial = models.TrialModel
        found = connection.execute(select(trial.trial_id, trial.number, trial.state).join(models.StudyModel)).one()
        assert found == (trial_id, 0, TrialState.RUNNING)
        beats = connection.execute(select(models.TrialHeartbeatModel.heartbeat).join(trial)).scalars().all()
    storage.engine.dispose()
    assert [type(beat) for beat in beats] == [datetime]


def test_a_scan_is_a_loop_with_a_state():
    """Catches another order of arguments or results of torch's loop, which exported recurrent networks rely on."""
    from torch._higher_order_ops.scan import scan  # noqa: PLC0415 # imports the compiler, which takes seconds

    final, outputs = scan(lambda total, x: (total + x, total * 2), torch.tensor(1.0), torch.tensor([2.0, 3.0]))
    assert float(final) == 6
    assert outputs.tolist() == [2, 6]
