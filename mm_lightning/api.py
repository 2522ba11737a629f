"""The door for Python programs: what the commands do, as functions that return values and raise exceptions.

Nothing is learned, sampled or measured here. Each function parses its settings as the command of its name does, and
calls the same code.
"""

import string
import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.cli.guest import Prepared, Settings, as_guest, data_and_recipe, fit_class, options, sampling_options
from mm_lightning.cli.options.arguments import ordered
from mm_lightning.commands.lr_find import prepare, run_range_test
from mm_lightning.commands.parts.samples import Samples
from mm_lightning.commands.parts.scores import Score, scores, token_probabilities
from mm_lightning.commands.plot import Gallery
from mm_lightning.data.encoding import WindowRows, Windows, encode
from mm_lightning.data.files.lists import join_files, read_files
from mm_lightning.data.files.tables import Columns
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.lr_range import RangeTest
from mm_lightning.files import write_atomically
from mm_lightning.networks.base import Network
from mm_lightning.training import checkpoint
from mm_lightning.training.run_folders import BEST, LAST, checkpoint_of

if TYPE_CHECKING:  # matplotlib takes most of a second to import
    from matplotlib.figure import Figure

_NO_SETTINGS: Settings = {}


class Model:
    """A trained model. `load` and `fit` make it.

    Attributes:
        path: File of the checkpoint.
        network: The network, a torch module in eval mode.
        alphabet: The tokens with ids 1, 2 and so on; id 0 is the boundary.
    """

    def __init__(self, app: Prepared) -> None:
        assert app.checkpoint is not None
        self._trainer, self._model, self._data = app.trainer, app.model, app.datamodule
        self._data.trainer = self._trainer
        self.path = app.checkpoint.path
        self._step = app.checkpoint.step
        self.network: Network = self._model.network
        self.alphabet = self._model.vocabulary.alphabet
        checkpoint.load_model(self._model, self.path, self._trainer.strategy.root_device)

    @override
    def __repr__(self) -> str:
        kind = type(self.network).__name__
        return f"<{kind}: {self.network.num_parameters:,} weights, {len(self.alphabet):,} tokens, step {self._step:,}>"

    def sample(self, num_samples: int = 20, **options: Any) -> list[str]:
        """Sample new items, the same ones as the command `predict` with the same options.

        Args:
            num_samples: Number of items.
            options: The options of `predict`, as in suffix="lyn", temperature=0.8, only_new=True, seed=1.

        Returns:
            The items. Those of a model with labels have an attribute `label`.

        Raises:
            UserError: If an option has no such value, or too few items are found.
        """
        parsed = sampling_options({"num_samples": num_samples, **options})
        with as_guest(), self._trainer.strategy.precision_plugin.forward_context():
            samples = Samples(self._model, self._data, parsed, self.path)
            rows = samples.all_rows()
        if parsed.output is not None:
            with write_atomically(parsed.output, "sampling.output") as file:
                file.write(f"{samples.format.header}{samples.format.lines(rows)}".encode())
        return [row.word for row in rows]

    def score(self, items: str | Sequence[str], label: str | None = None) -> list[Score]:
        """Compute the negative log-likelihood of items in nats, in total and per target, as the command `score` does.

        Args:
            items: The items, or one item.
            label: Label of the items; None for items of unknown label, in a model with labels.

        Raises:
            UserError: If an item has a character outside the alphabet, or the model does not have the label.
        """
        with self._trainer.strategy.precision_plugin.forward_context():
            return scores(self._model, _listed(items), label)

    def next(self, prefix: str = "", label: str | None = None) -> dict[str, float]:
        """Compute the probability of each token after the beginning of an item, most likely first.

        Args:
            prefix: Beginning of an item; in a model of sentences, whole words.
            label: Label of the item; None for an item of unknown label, in a model with labels.

        Returns:
            The probabilities by token. The key "" is the end of the item.

        Raises:
            UserError: If the prefix has a character outside the alphabet, or the model does not have the label.
        """
        with self._trainer.strategy.precision_plugin.forward_context():
            values = token_probabilities(self._model, prefix, label).tolist()
        pairs = zip(["", *self.alphabet], values, strict=True)
        return dict(sorted(pairs, key=lambda pair: -pair[1]))

    def validate(self) -> dict[str, float]:
        """Measure the loss on dev, as the command `validate` does; the key of the loss is val/loss."""
        return self._evaluate(self._trainer.validate)

    def test(self) -> dict[str, float]:
        """Measure the loss on test, as the command `test` does; the key of the loss is test/loss."""
        return self._evaluate(self._trainer.test)

    def _evaluate(self, method: Any) -> dict[str, float]:
        if (note := self._data.note_on_other_data(checkpoint.digest(self.path))) is not None:
            warnings.warn(note, stacklevel=3)
        with as_guest():
            (measures,) = method(self._model, datamodule=self._data, verbose=False)
            self._model.to(self._trainer.strategy.root_device).eval()
            return dict(measures)

    def plot_embedding(self) -> "Figure":
        """Plot the rows of the embedding table; raises UserError for a network without one."""
        return self._gallery.embedding()

    def plot_bigrams(self) -> "Figure":
        """Plot the bigram counts of the data; raises UserError where the data cannot be read."""
        return self._gallery.bigrams()

    def plot_loss(self) -> "Figure":
        """Plot the loss curves of the run; raises UserError for a checkpoint outside of a run folder with curves."""
        return self._gallery.loss()

    def plot_activations(self) -> "Figure":
        """Plot the tanh units on examples of dev; raises UserError for a network without such units."""
        return self._gallery.activations()

    @cached_property
    def _gallery(self) -> Gallery:
        return Gallery(self._trainer, self._model, self._data, self.path, checkpoint.load(self.path))


def load(name: str | Path = BEST, settings: Settings = _NO_SETTINGS) -> Model:
    """Open a trained model.

    Args:
        name: File of a checkpoint, or `best` or `last` for that of the newest run in `lightning_logs`.
        settings: Settings by their names on the command line, as in {"data.path": "names.txt"} for a moved list.

    Raises:
        UserError: If there is no such checkpoint, or a setting cannot be used.
    """
    refused = {"sampling": "load makes no items; give it to sample", "ckpt_path": f"load opens {name}; leave it out"}
    with as_guest():
        return Model(Prepared(ordered(["predict", f"--ckpt_path={name}", *options(settings, refused)]), "predict"))


def fit(path: str | Path | None = None, recipe: str | Path = "mlp_fast", settings: Settings = _NO_SETTINGS) -> Model:
    """Train a model on a list of items, and leave a run folder in `lightning_logs`, as the command `fit` does.

    Args:
        path: Text file with one item per line; None for the data that the recipe names.
        recipe: Name of a shipped recipe, as in "mlp_fast", or the path of a YAML file.
        settings: Settings by their names on the command line, as in {"trainer.max_steps": 100}.

    Returns:
        The model with the lowest loss on dev.

    Raises:
        UserError: If the data, the recipe or a setting cannot be used, or training diverges.
        KeyboardInterrupt: After Ctrl-C; the same call with the setting {"ckpt_path": "last"} goes on.
    """
    with as_guest():
        line = ordered(["fit", *data_and_recipe(path, recipe), *options(settings)])
        run = fit_class(settings)(line, "fit").trainer.run_folder
    if run is None:
        raise UserError("trainer.fast_dev_run leaves no model to return; leave it out, or run the command fit")
    path = next(path for name in (BEST, LAST) if (path := checkpoint_of(run, name)).is_file())
    own = checkpoint.foreign_classes(checkpoint.load(path)["hyper_parameters"])  # which the caller has named
    return load(path, {f"model.{key}": name for key, name in own.items()})


def lr_find(path: str | Path | None = None, recipe: str | Path = "mlp", settings: Settings = _NO_SETTINGS) -> RangeTest:
    """Find a learning rate by a range test, as the command `lr_find` does, without writing files.

    Args:
        path: As for `fit`.
        recipe: As for `fit`.
        settings: As for `fit`; also min_exponent, max_exponent and num_steps.

    Raises:
        UserError: If the data, the recipe or a setting cannot be used, or no rate is found.
    """
    refused = {"output": "lr_find writes no files; leave it out"}
    with as_guest():
        app = Prepared(ordered(["lr_find", *data_and_recipe(path, recipe), *options(settings, refused)]), "lr_find")
        low, high, num_steps = (app.arguments[name] for name in ("min_exponent", "max_exponent", "num_steps"))
        prepare(app.trainer, app.model, app.datamodule, app.arguments["ckpt_path"], app.start)
        return run_range_test(app.trainer, app.model, app.datamodule, (low, high), num_steps, shows_bar=False)


def read(path: str | Path) -> list[str]:
    """Read the items of one text file, one per line; data/names.txt comes with the package.

    Raises:
        UserError: If the file cannot be read, is not UTF-8, or has no items; or for a table.
    """
    return list(join_files(read_files([str(path)], Columns()))[0])


def _listed(items: str | Iterable[str]) -> list[str]:
    """The items; one item is no list of its letters."""
    return [items] if isinstance(items, str) else list(items)


def windows(items: str | Iterable[str], block_size: int = 3, alphabet: str | None = None) -> WindowRows:
    """Make the training examples of items: X, the windows of ids, and Y, the ids that follow them.

    Args:
        items: The items, or one item.
        block_size: Context C in characters.
        alphabet: The characters with ids 1, 2 and so on; None for a to z, or for the sorted characters of the items
            if others occur.

    Raises:
        UserError: If there is no item, a character is outside of the alphabet, or block_size is below 1.
    """
    encoded = Items.from_strings(_listed(items))
    if not len(encoded) or block_size < 1:
        raise UserError("windows: give at least one item, and a block_size of at least 1")
    if alphabet is None:
        used = encoded.alphabet()
        alphabet = string.ascii_lowercase if set(used) <= {*string.ascii_lowercase} else "".join(sorted(used))
    vocabulary = Vocabulary(alphabet)
    examples = Windows(encode(encoded, vocabulary), block_size)
    return WindowRows(*examples.gather(torch.arange(len(examples))), vocabulary.symbols())
