"""Help of a command: its own options first, then only the options of Lightning that users set."""

from argparse import SUPPRESS, Action

from lightning.pytorch.cli import LightningArgumentParser

from mm_lightning.cli.options.arguments import STARTING, TRAINING
from mm_lightning.data.ranges import BatchLimit, Count

_PLACES = "a file, a folder of export, or last or best for that of the newest run."
_CKPT_PATH_HELP = {
    "fit": "Resume from this checkpoint: a file, last for where the newest run stopped, or best for its lowest "
    "val/loss. From any file but last.ckpt, training goes on in a new run folder.",
    "lr_find": f"Begin with the weights of this checkpoint: {_PLACES}",
    "score": f"Checkpoint to use: {_PLACES}",
}
SEED_HELP = "Seed of initial weights, order of training and dropout."
_SEEDS_HELP = "Train this many runs, one after the other: with seed_everything, with the next seed, and so on."
_INIT_FROM_HELP = (
    f"Begin a new run with the weights of this checkpoint: {_PLACES} Its "
    "alphabet can be another: each token takes the weights that it has there. Settings that are not given are its own."
)
_TEACHER_HELP = (
    f"Learn the probabilities of this trained model beside the targets: {_PLACES} "
    "train/loss is then the cross-entropy with both."
)
_TEACHER_ITEMS_HELP = "Number of items that the teacher samples, to learn from beside the training items."
_DEVICE_OPTIONS = ("accelerator", "devices", "precision", "default_root_dir")
_STEP_OPTIONS = ("gradient_clip_val", "gradient_clip_algorithm", "accumulate_grad_batches", "enable_progress_bar")
_TRAINER_OPTIONS = {  # of commands that heed others than `_DEVICE_OPTIONS`
    "fit": (
        *("steps_per_execution", "compile", "max_steps", "max_epochs", "strategy", "num_nodes", "log_every_n_steps"),
        *("val_check_interval", "check_val_every_n_epoch"),
        *(*_DEVICE_OPTIONS, *_STEP_OPTIONS),
    ),
    "lr_find": (*_DEVICE_OPTIONS, *_STEP_OPTIONS),
    "export": ("default_root_dir",),
}
_FIT_SECTIONS = ("model", "last", "samples", "histograms")  # settings of training; elsewhere the checkpoint's serve
_DATA_OPTIONS = ("path", "split")  # of commands that begin no training
_ORDER = ("data", *_FIT_SECTIONS, "trainer")
_CHECKPOINTS_OWN = "that of the checkpoint"  # default of a setting
_CARD_HELP = "Card that export wrote: a Markdown file, or the folder of the card and the weights."
_CLASS_EPILOG = "--model.network.help CLASS describes the options of a network, such as mm_lightning.networks.MLP. "
_EPILOG = "Every argument of Lightning's Trainer is an option too, as --trainer.NAME; fit --print_config lists all."


def add_options(parser: LightningArgumentParser, command: str) -> None:
    """Add the options of a command that are in no section; those of fit stand in a run's config, so all take them."""
    parser.add_argument("--ckpt_path", type=str | None, help=_CKPT_PATH_HELP.get(command, _CKPT_PATH_HELP["score"]))
    parser.add_argument("--init_from", type=str | None, help=_INIT_FROM_HELP)
    parser.add_argument("--teacher", type=str | None, help=_TEACHER_HELP)
    parser.add_argument("--teacher_items", type=BatchLimit, default=0, help=_TEACHER_ITEMS_HELP)
    if command == "fit":
        parser.add_argument("--seeds", type=Count, default=1, help=_SEEDS_HELP)
    if command == "score":
        parser.add_argument("words", nargs="*", metavar="ITEM", help="Item to score.")


def arrange_help(parser: LightningArgumentParser, command: str, has_checkpoint: bool) -> None:
    """Shorten the help of a command's parser, only to print it: a parser leaves hidden options out of a configuration.

    Args:
        parser: The parser of the command, with all of its options.
        command: The command's name.
        has_checkpoint: Whether the command line names a checkpoint, whose settings are the parser's defaults.
    """
    parser.usage = f"mm_lightning {command} {_required(command)}[options]"
    parser.epilog = f"{_CLASS_EPILOG if command in STARTING else ''}{_EPILOG}"
    for action in parser._actions:
        if not action.option_strings:  # words, which argparse calls required
            action.required, action.default = False, SUPPRESS
        elif _is_hidden(action.option_strings[0].lstrip("-"), command):
            action.help = SUPPRESS
    if command == "verify":  # the application reads it before parsing
        parser.add_argument("CARD", nargs="?", default=SUPPRESS, help=_CARD_HELP)
    if command not in STARTING and not has_checkpoint:
        parser.set_defaults(dict.fromkeys(("data.path", "data.split", "seed_everything"), _CHECKPOINTS_OWN))
    groups = [group for group in parser._action_groups if group.title != "Linked arguments"]
    parser._action_groups = sorted(groups, key=lambda group: _rank(group._group_actions))


def _rank(options: list[Action]) -> int:
    """Position of a group of options: general ones and the command's own, then data, model, callbacks, Trainer."""
    sections = {_section(action) for action in options}
    return max((_ORDER.index(section) for section in sections if section in _ORDER), default=-1)


def _section(action: Action) -> str:
    return (action.option_strings or [""])[0].lstrip("-").partition(".")[0]


def _is_hidden(option: str, command: str) -> bool:
    """Whether the help of a command omits an option."""
    section, is_setting, name = option.rstrip("+").partition(".")
    if section == "trainer":
        return name not in _TRAINER_OPTIONS.get(command, _DEVICE_OPTIONS)
    if not is_setting:  # such as --data CONFIG: a file for one section
        is_of_fit = section in ("init_from", "teacher", "teacher_items") and command != "fit"
        is_of_training = section == "seed_everything" and command not in TRAINING
        return is_of_fit or is_of_training or section in ("card", "data", "sampling", *_FIT_SECTIONS)
    if section == "data":
        return command == "score" or (command not in STARTING and name not in _DATA_OPTIONS)
    return section in _FIT_SECTIONS and command != "fit" and (command, section) != ("lr_find", "model")


def _required(command: str) -> str:
    """The arguments that a command cannot do without, for the usage."""
    if command == "fit":
        return "(--config FILE | --ckpt_path CHECKPOINT | --init_from CHECKPOINT) "
    if command == "lr_find":
        return "(--config FILE | --ckpt_path CHECKPOINT) "
    if command == "verify":
        return "CARD [--ckpt_path CHECKPOINT] "
    further = {"score": "[ITEM ...] ", "export": "--output FILE "}
    return f"--ckpt_path CHECKPOINT {further.get(command, '')}"
