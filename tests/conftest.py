"""What several tests share."""

from pathlib import Path

import pytest
import torch
from run_command import FIT, ROOT, run
from tensorboard.summary.writer import event_file_writer

from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks import MLP

torch.set_num_threads(1)  # tensors this small gain nothing from a second thread, and wait for it on a busy machine

# TensorBoard reads the files of a folder in the order of their names: a second, and a counter of the process. Of two
# files of one second, number 10 would be read before number 9, so the counter begins where its length stays the same.
event_file_writer._global_uid = event_file_writer.AtomicCounter(10_000)

_MAKEMORE = Path(__file__).parents[2] / "shared/data/makemore_names.txt"


@pytest.fixture(scope="session")
def makemore() -> Path:
    """The lecture's own file, against which published figures are held; it is not part of the project."""
    if not _MAKEMORE.is_file():
        pytest.skip("makemore's names.txt is not here")
    return _MAKEMORE


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary("abcd")


@pytest.fixture
def network(vocabulary: Vocabulary) -> MLP:
    """Untrained, but far from uniform; in double precision, so that no draw hangs on rounding."""
    torch.manual_seed(0)
    result = MLP(len(vocabulary), block_size=3, embed_dim=4, hidden_dim=16).double().eval()
    with torch.no_grad():
        result.output.weight *= 5
    return result


@pytest.fixture(scope="session")
def words_text() -> str:
    """36 short words, whose train split gives 26 batches of 5 windows."""
    return "\n".join(f"{a}{b}{c}" for a in "bdk" for b in ("a", "ei", "o") for c in ("n", "lla", "s", ""))


@pytest.fixture
def words(words_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of these words, in the folder where the test runs."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "words.txt"
    path.write_text(words_text)
    return path


@pytest.fixture(scope="module")
def words_elsewhere(words_text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of these words in a folder for the runs that a module's tests share."""
    path = tmp_path_factory.mktemp("shared") / "words.txt"
    path.write_text(words_text)
    return path


@pytest.fixture(scope="session")
def names_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of two epochs on 200 names, nearly all of them twice, and its stdout in fit.out."""
    folder = tmp_path_factory.mktemp("names_run")
    names = (ROOT / "data/names.txt").read_text().splitlines()[:200]
    (folder / "words.txt").write_text("\n".join([*names[2:], *names]), encoding="utf-8")
    options = ("--trainer.max_steps", 100, "--data.batch_size", 64, "--trainer.steps_per_execution", 7)
    result = run(*FIT, "--data.path", "words.txt", *options, cwd=folder)
    assert result.returncode == 0, result.stderr
    (folder / "fit.out").write_text(result.stdout, encoding="utf-8")
    return folder
