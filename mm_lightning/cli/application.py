"""The command line of the commands that need Lightning: parsing, precedence, and the callbacks of each command."""

import copy
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import ArgsType, LightningArgumentParser
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_only
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.cli import other_models
from mm_lightning.cli.bounded_trainer import SECTIONS, trainer_class, validation_callbacks
from mm_lightning.cli.devices import settle
from mm_lightning.cli.options import precedence
from mm_lightning.cli.options.arguments import find_checkpoint, peek, refuse_incomplete
from mm_lightning.cli.options.help import SEED_HELP, add_options, arrange_help
from mm_lightning.cli.options.parser import CommandLine, Parser
from mm_lightning.commands import fit
from mm_lightning.commands.catalogue import COMMANDS, DESCRIPTION
from mm_lightning.commands.parts.errors import one_line_errors, refuse_out_of_memory
from mm_lightning.commands.parts.library_warnings import silence_library_warnings
from mm_lightning.commands.parts.parsing.nulls import refuse_nulls
from mm_lightning.commands.parts.seeds import Seeds, train_each
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.ranges import Seed
from mm_lightning.training import checkpoint, run_folders
from mm_lightning.training.callbacks import (
    BestCheckpoint,
    Charts,
    Embeddings,
    Histograms,
    HyperParameters,
    LastCheckpoint,
    RandomState,
    RunConfig,
    SampleItems,
    StepProgressBar,
)
from mm_lightning.training.checkpoint import Checkpoint
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.processes.signals import OwnSigterm
from mm_lightning.training.trainer import Trainer
from mm_lightning.training.trial_steps import check_restorable


class Application(CommandLine):
    """One run of the command line, or model, data and Trainer built from settings without a command.

    Args:
        args: Command line, or nested settings; only without a command.
        command: The command; None to build without running one.
    """

    checkpoint: Checkpoint | None = None
    start: Checkpoint | None = None  # of whose weights a new run begins
    model: LanguageModel
    datamodule: ItemsDataModule
    trainer: Trainer

    def __init__(self, args: ArgsType, command: str | None = None, run: bool = True) -> None:
        with_trainer = [name for name, entry in COMMANDS.items() if not entry.is_light]
        self._commands = [name for name in with_trainer if run and command in (None, name)]
        help_texts = {name: f"{COMMANDS[name].summary} {COMMANDS[name].details}".strip() for name in self._commands}
        with ExitStack() as self._locks, precedence.named_alphabet(lambda: self.checkpoint):  # runs the command
            super().__init__(
                LanguageModel,
                ItemsDataModule,
                save_config_callback=RunConfig,
                save_config_kwargs={"save_to_log_dir": False},
                trainer_class=trainer_class(self._commands),
                trainer_defaults={"num_sanity_val_steps": 0},
                parser_class=Parser,
                parser_kwargs={
                    "prog": "mm_lightning",
                    "description": DESCRIPTION,
                    "allow_abbrev": False,
                    **{name: {"description": text} for name, text in help_texts.items()},
                },
                args=args,
                run=run,
                auto_configure_optimizers=False,
            )

    @override
    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override] # Lightning's is static, and called on self
        """The command to parse, and the arguments of its function that are not options.

        Collecting the options of all commands would take longer than a short command runs.
        """
        data = {"model", "datamodule", "dataloaders", "train_dataloaders", "val_dataloaders"}
        passed = data | {"ckpt_path", "weights_only", "verbose", "words", "source", "start"}
        return dict.fromkeys(self._commands, passed)

    @override
    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the option of the seed; the default is fixed, so that every run can be repeated."""
        parser.add_argument("--seed_everything", type=Seed, default=42, help=SEED_HELP)

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks that have settings, and link the settings that data and model share."""
        parser.add_lightning_class_args(LastCheckpoint, "last")
        parser.add_lightning_class_args(SampleItems, "samples")
        parser.add_lightning_class_args(Histograms, "histograms")
        precedence.link_settings(parser)

    @override
    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        super().setup_parser(add_subcommands, main_kwargs, subparser_kwargs)
        if not add_subcommands:
            return
        for name, parser in self.command_parsers().items():
            add_options(parser, name)
            parser.set_defaults({"trainer.enable_model_summary": False})  # fit prints a line instead
            if name != "fit":
                parser.set_defaults({"trainer.logger": False, "trainer.enable_progress_bar": name == "lr_find"})

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the arguments: command line over `--config` over checkpoint.

        Raises:
            UserError: If the arguments contradict each other or the checkpoint.
        """
        if not self._commands:
            self.config = parser.parse_args(args) if isinstance(args, list) else parser.parse_object(args)
            refuse_nulls(self.config.as_dict(), SECTIONS)
            return
        assert isinstance(args, list)
        seen = peek(args)
        command = seen.command
        if seen.ckpt_path is not None:
            path = find_checkpoint(seen.ckpt_path, seen.root)
            if command == "fit":
                checkpoint.refuse_to_resume(path)
            run = run_folders.run_of(path)
            if command == "fit" and run is not None and run_folders.is_last(path) and path.is_file():
                self._lock(run)  # before reading: the run may still go on in another process
            self.checkpoint = checkpoint.read(path, seen.text)
        elif seen.init_from is not None:
            self.start = checkpoint.read(find_checkpoint(seen.init_from, seen.root, "--init_from"), seen.text)
        else:
            refuse_incomplete(args)
        if (source := self.checkpoint or self.start) is not None:
            precedence.set_defaults(self.command_parsers()[command], source, command, self.start is None)
        if {"-h", "--help"} & set(args):
            arrange_help(self.command_parsers()[command], command, source is not None)
        self.config = parser.parse_args(args)
        config = self.config.get(command)
        assert isinstance(config, Namespace)
        if config.get("ckpt_path") != seen.ckpt_path:
            raise UserError("ckpt_path stands in a config file; give --ckpt_path on the command line")
        refuse_nulls(config.as_dict(), SECTIONS, getattr(self.trainer_class, command))
        if self.checkpoint is not None:
            precedence.check_architecture(config, self.checkpoint)
            precedence.settle_vocabulary(config, self.checkpoint)
        self.start = other_models.settle_start(config, self.checkpoint, self.start, seen.root, seen.text)
        if command == "fit":
            self.teacher = other_models.settle_teacher(config, seen.root, seen.text)
            self.seeds = Seeds(config["seed_everything"], config["seeds"], other_models.options(config))
        elif command == "lr_find" and config["teacher"] is not None:
            rank_zero_info(f"teacher is {config['teacher']}, without which this range test learns: the targets alone")

    @override
    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the Trainer, with this application's callbacks for `fit` and with none for the other commands."""
        config = self.settle_devices({**self.instantiated("trainer"), **kwargs})
        callbacks = []
        if self.subcommand in ("fit", None):
            callbacks = [RandomState(), HyperParameters(), Charts(), Embeddings()]
            callbacks += [self.instantiated(key) for key in ("samples", "histograms")]
            callbacks += [StepProgressBar()] if config["enable_progress_bar"] is not False else []
            callbacks += validation_callbacks(config)
            callbacks += [BestCheckpoint(), self.instantiated("last")]
        else:
            callbacks = [OwnSigterm()]
            self.save_config_callback = None
        try:
            return self.make_trainer(config, callbacks)  # type: ignore[return-value] # of our class
        except (ValueError, MisconfigurationException) as error:  # Lightning refuses a setting
            raise error if isinstance(error, UserError) else UserError(f"trainer: {error}") from error

    def settle_devices(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Settle the Trainer's settings of devices."""
        return settle(settings, self.subcommand, self.model.network, self.datamodule)

    @override
    def command_arguments(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Name the checkpoint's file, which fits the model, and read it as plain data only."""
        if self.checkpoint is not None:
            check_restorable(self.model, self.checkpoint.path, with_optimizer=command in ("fit", "plot"))
        arguments["ckpt_path"] = None if self.checkpoint is None else str(self.checkpoint.path)
        if command == "score":
            arguments["words"] = self.instantiated("words")
            del arguments["datamodule"]
        elif command == "lr_find":
            arguments["start"] = self.start
        elif command == "export":
            arguments["source"] = self.checkpoint
            del arguments["ckpt_path"]
        elif COMMANDS[command].module is None:  # Lightning's own
            arguments["weights_only"] = True
        return arguments

    @rank_zero_only
    def _lock(self, run: Path) -> None:
        """Lock a run folder until the command ends."""
        self._locks.callback(run_folders.lock(run).release)

    def fit(self, **arguments: Any) -> None:
        """Train; called by Lightning in place of the Trainer's method."""
        fit.run(
            self.trainer, self.model, self.datamodule, self.checkpoint, self._lock, self.start, self.teacher, self.seeds
        )


def build(settings: dict[str, Any]) -> Application:
    """Build model, data and Trainer from nested settings, as a config file has them, without running a command.

    Raises:
        ArgumentError: If a setting is not understood.
        UserError: If a value makes no sense.
    """
    silence_library_warnings()
    return Application(copy.deepcopy(settings), run=False)  # jsonargparse writes into its input


def main(args: list[str]) -> None:
    """Run a command that needs Lightning.

    Args:
        args: The command and its ordered arguments.

    Raises:
        SystemExit: 2 for arguments that cannot be parsed, 1 for a later failure.
        Stopped: After SIGINT or SIGTERM.
    """
    silence_library_warnings()
    with one_line_errors(MisconfigurationException), refuse_out_of_memory():
        if args[0] == "fit":
            train_each(lambda options: Application([*args, *options], "fit"))
        else:
            Application(args, args[0])
