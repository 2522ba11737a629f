"""The command line: LightningCLI with this application's commands, one-line errors and honest precedence."""

import os
import sys
from typing import Any, NoReturn

from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning_utilities.core.rank_zero import rank_zero_only

from mm_lightning import checkpoint, precedence, runs, shipped
from mm_lightning.callbacks import (
    BestCheckpoint,
    Charts,
    Embeddings,
    Histograms,
    HyperParameters,
    LastCheckpoint,
    RandomState,
    RunConfig,
    SampleWords,
    StepProgressBar,
    Stopped,
)
from mm_lightning.checkpoint import Checkpoint
from mm_lightning.commands import COMMANDS, DESCRIPTION, DETAILS, WITHOUT_TRAINER, errors_of_one_line, fail
from mm_lightning.datamodule import WordsDataModule
from mm_lightning.module import LanguageModel
from mm_lightning.quiet import quieten
from mm_lightning.trainer import Trainer

_FROM_NOTHING = ("fit", "lr_find")  # commands that need no checkpoint
_CKPT_HELP = {
    "fit": "Go on from this checkpoint: a file, or last for where the newest run stopped.",
    "lr_find": "Begin with the weights of this checkpoint: a file, or last or best for that of the newest run.",
    "score": "Checkpoint to use: a file, or last or best for that of the newest run.",
}


class Parser(LightningArgumentParser):
    """Lightning's parser with errors of one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong, without the pages of usage."""
        fail(message, status=2)


class MmLightningCLI(LightningCLI):
    """One run of the command line."""

    checkpoint: Checkpoint | None = None
    model: LanguageModel
    datamodule: WordsDataModule
    trainer: Trainer

    def __init__(self, *args: Any, command: str | None = None, **kwargs: Any) -> None:
        self._command = command
        super().__init__(*args, **kwargs)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override] # Lightning's is static, and called on self
        """Methods of the Trainer, and those of their arguments that are no options; only the one given, if known.

        The options of all would take longer to collect than a short command to run.
        """
        data = {"model", "datamodule", "dataloaders", "train_dataloaders", "val_dataloaders"}
        passed = data | {"ckpt_path", "weights_only", "verbose", "words"}
        names = (name for name in COMMANDS if name not in WITHOUT_TRAINER and self._command in (None, name))
        return dict.fromkeys(names, passed)

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The seed: fixed unless another is given, so that every run can be repeated."""
        parser.add_argument(
            "--seed_everything",
            type=NonNegativeInt,
            default=42,
            help="Seed of initial weights, order of training and dropout.",
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Callbacks with settings, and what data and model must agree on."""
        parser.add_lightning_class_args(LastCheckpoint, "last")
        parser.add_lightning_class_args(SampleWords, "samples")
        parser.add_lightning_class_args(Histograms, "histograms")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)  # a NonNegativeInt cannot be saved
        parser.link_arguments("model.network", "data.block_size", compute_fn=_block_size)
        parser.link_arguments("data.alphabet", "model.alphabet", apply_on="instantiate")

    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        """Add what the Trainer's signatures do not say."""
        super().setup_parser(add_subcommands, main_kwargs, subparser_kwargs)
        if not add_subcommands:
            return
        for name, parser in self._subcommand_parsers.items():
            parser.add_argument("--ckpt_path", type=str | None, help=_CKPT_HELP.get(name, _CKPT_HELP["score"]))
            if name != "fit":
                parser.set_defaults({"trainer.logger": False, "trainer.enable_progress_bar": False})
                parser.set_defaults({"trainer.enable_model_summary": False})
            if name == "score":
                parser.add_argument("words", nargs="*", help="Words to score.")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Let the checkpoint, then the config file, then the command line say what to do."""
        given = args if isinstance(args, list) else sys.argv[1:]
        peek = precedence.peek(given, self.subcommands())
        command = peek.command
        if command is not None and peek.ckpt_path is not None:
            self.checkpoint = checkpoint.read(runs.find_checkpoint(peek.ckpt_path, peek.root), peek.text)
            self._subcommand_parsers[command].set_defaults(precedence.defaults(self.checkpoint, command))
        elif command is not None and not {"-h", "--help", "--print_config"} & set(given):
            if command not in _FROM_NOTHING:
                raise ValueError(f"{command} needs --ckpt_path: a file, or last or best for that of the newest run")
            if not any(arg.startswith(("-c", "--config", "--model")) for arg in given):
                raise ValueError(f"{command} needs --config, for example --config configs/mlp.yaml")
        self.config = parser.parse_args(given)
        config = self.config.get(command) if command else self.config
        assert isinstance(config, Namespace)
        if config.get("ckpt_path") != peek.ckpt_path:
            raise ValueError("ckpt_path stands in a config file; give --ckpt_path on the command line")
        if self.checkpoint is not None:
            precedence.check_architecture(config, self.checkpoint)
            precedence.settle_alphabet(config, self.checkpoint)

    def _parse_ckpt_path(self) -> None:
        """Nothing: the checkpoint was heard in `parse_arguments`, as the lowest voice and not the highest."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A Trainer with the callbacks of the command: all for `fit`, none of ours for the others."""
        config = {**self._get(self.config_init, "trainer"), **kwargs}
        if self.subcommand not in ("fit", None):
            self.save_config_callback = None
            return self._instantiate_trainer(config, [])  # type: ignore[return-value]
        callbacks = [RandomState(), HyperParameters(), Charts(), Embeddings()]
        callbacks += [self._get(self.config_init, key) for key in ("samples", "histograms")]
        callbacks += [StepProgressBar()] if config["enable_progress_bar"] is not False else []
        return self._instantiate_trainer(config, [*callbacks, BestCheckpoint(), self._get(self.config_init, "last")])  # type: ignore[return-value]

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Name the checkpoint's file, and let nothing but plain data out of it."""
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        kwargs["ckpt_path"] = None if self.checkpoint is None else str(self.checkpoint.path)
        if subcommand == "score":
            kwargs["words"] = self._get(self.config_init, "words")
            del kwargs["datamodule"]
        elif subcommand in ("fit", "validate", "test"):  # Lightning's own
            kwargs["weights_only"] = True
        return kwargs

    def prepare(self) -> None:
        """Read the data, check that model and Trainer suit them, and choose threads: all that leaves no trace."""
        self.datamodule.setup("fit")
        if self.model.counts:
            self.trainer.check_one_pass(self.datamodule, self.checkpoint)
        self.trainer.choose_threads(self.model, self.datamodule.targets_per_step)

    def before_fit(self) -> None:
        """Check everything that can be wrong, then claim a run folder: from here on there is something to lose."""
        self.prepare()
        limit = self.trainer.max_steps
        if self.checkpoint is not None and 0 <= limit <= self.checkpoint.step:
            raise ValueError(
                f"{self.checkpoint.path} has done its {self.checkpoint.step} steps of {limit}; "
                "raise --trainer.max_steps to go on"
            )
        self.trainer.claim_run(self.checkpoint)

    def fit(self, **kwargs: Any) -> None:
        """Train; a new run that failed before its first step leaves no folder behind."""
        try:
            self.trainer.fit(**kwargs)
        except BaseException:
            if self.checkpoint is None and self.trainer.global_step == 0:
                self.trainer.discard_run()
            raise
        finally:
            self.trainer.release_run()

    @rank_zero_only
    def after_fit(self) -> None:
        """Say where the best checkpoint is, and how to use it."""
        best = self.trainer.checkpoint_callback
        if isinstance(best, BestCheckpoint) and best.best_model_score is not None:
            path = os.path.relpath(best.best_model_path)
            print(f"best checkpoint: {path} (val/loss {float(best.best_model_score):.4f})")
            print(f"sample from it:  python -m mm_lightning predict --ckpt_path {path}")


def _block_size(network: Namespace | None) -> int | None:
    """Context of a network's configuration; None for one that reads whole words, or where none is given."""
    block_size: int | None = None if network is None else network.get("init_args.block_size")
    return block_size


def main(args: list[str] | None = None, run: bool = True) -> MmLightningCLI | None:
    """Do what the command line says, with Lightning.

    Args:
        args: Arguments; those of the process if not given.
        run: False builds model, data and trainer from options without a command, and returns them.

    Raises:
        SystemExit: 2 for arguments that make no sense, 1 for what went wrong later, 130 or 143 after a signal.
    """
    args = [shipped.find(arg) for arg in (sys.argv[1:] if args is None else args)]
    quieten()
    if not run:
        return _cli(args, run=False)
    with errors_of_one_line(MisconfigurationException):
        try:
            _cli(args, run=True)
        except Stopped as stop:
            again = f"python -m mm_lightning fit --ckpt_path {os.path.relpath(stop.checkpoint)}"
            sys.stderr.write(f"{stop}; go on with: {again}\n")
            sys.exit(128 + stop.signum)
    return None


def _cli(args: list[str], run: bool) -> MmLightningCLI:
    command = args[0] if run and args and args[0] in COMMANDS else None
    summary = {}
    if command is not None:
        summary[command] = {"description": f"{COMMANDS[command]} {DETAILS.get(command, '')}".strip()}
    return MmLightningCLI(
        LanguageModel,
        WordsDataModule,
        save_config_callback=RunConfig,
        save_config_kwargs={"save_to_log_dir": False},
        trainer_class=Trainer,
        trainer_defaults={"num_sanity_val_steps": 0},
        parser_class=Parser,
        parser_kwargs={"prog": "mm_lightning", "description": DESCRIPTION, **summary},
        args=args,
        run=run,
        auto_configure_optimizers=False,
        command=command,
    )
