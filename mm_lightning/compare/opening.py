"""Opening of a run for measuring: model and data as the command line makes them."""

from mm_lightning.cli.guest import Prepared
from mm_lightning.cli.options.arguments import ordered
from mm_lightning.commands.parts.own_data import require_own_data
from mm_lightning.compare.runs import Run
from mm_lightning.training import checkpoint


def open_run(run: Run, data_path: str | None, command: str) -> Prepared:
    """Open a run with its weights, in eval mode, and the data that it was trained on.

    Args:
        run: The run.
        data_path: Place of the data, if they have moved.
        command: The command, for errors.

    Raises:
        UserError: If the data are missing or not those of the run.
    """
    options = [] if data_path is None else [f"--data.path={data_path}"]
    options += [f"--model.{key}={name}" for key, name in run.foreign_classes.items()]
    app = Prepared(ordered(["predict", f"--ckpt_path={run.path}", *options]), "predict")
    app.datamodule.trainer = app.trainer
    require_own_data(app.datamodule, str(run.path), command)
    checkpoint.load_model(app.model, run.path, app.trainer.strategy.root_device)
    return app


def task_of(app: Prepared) -> tuple[str, ...]:
    """Data and units that must be equal for losses to be comparable."""
    data = app.datamodule
    return data.digest, data.splits.dev.digest(), data.tokens, str(data.max_vocab)
