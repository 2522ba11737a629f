"""Training batches as a pure function of seed, position and rank, and scoring batches that miss no word."""

import itertools
import random

import pytest
import torch

from mm_lightning.data import batches
from mm_lightning.data.batches import ItemBatches, TrainBatches
from mm_lightning.data.encoding import IGNORE, EncodedItems, PaddedItems, Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary


def numbered(count: int) -> Windows:
    """Examples that are told apart by their target: one word of different characters."""
    alphabet = "".join(map(chr, range(0x4E00, 0x4E00 + count - 1)))
    return Windows(encode(Items.of([alphabet]), Vocabulary(alphabet)), 2)


def epochs(loader: TrainBatches, count: int) -> list[list[int]]:
    """Targets of each batch, over several passes."""
    return [y.tolist() for _ in range(count) for _, y in loader]


def random_words(count: int, longest: int = 12) -> EncodedItems:
    draw = random.Random(0)
    strings = ["".join(draw.choices("abc", k=draw.randint(1, longest))) for _ in range(count)]
    return encode(Items.of(strings), Vocabulary("abc"))


@pytest.mark.parametrize(("count", "batch_size"), [(64, 8), (65, 8), (71, 8), (10, 4), (7, 7), (9, 1)])
def test_an_epoch_holds_each_example_at_most_once(count: int, batch_size: int):
    """Drawing with repetition, a short last batch, or a last batch filled from the front."""
    loader = TrainBatches(numbered(count), batch_size, seed=1)
    drawn = epochs(loader, 1)
    assert len(drawn) == len(loader) == count // batch_size
    assert {len(batch) for batch in drawn} == {batch_size}
    flat = list(itertools.chain(*drawn))
    assert len(set(flat)) == len(flat)


def test_x_belongs_to_y():
    """Inputs and targets shuffled apart."""
    x, y = next(iter(TrainBatches(numbered(50), 50, seed=1)))
    last = torch.where(y == 0, 49, y - 1)  # the ids count up, so each target follows its own number
    assert torch.equal(x[:, -1], last)


def test_epochs_and_seeds_shuffle_differently():
    """One order for ever, which also leaves the same examples out each time."""
    one = epochs(TrainBatches(numbered(66), 8, seed=1), 12)
    assert one[:8] != one[8:16]
    assert set(itertools.chain(*one)) == set(range(66))
    assert one == epochs(TrainBatches(numbered(66), 8, seed=1), 12)
    assert one != epochs(TrainBatches(numbered(66), 8, seed=2), 12)


@pytest.mark.parametrize("chunk", [1, 20, 8192])
def test_batches_resume_from_any_position(monkeypatch: pytest.MonkeyPatch, chunk: int):
    """A resumed run that repeats or skips batches, within an epoch or over the border of two, whatever the chunk."""
    monkeypatch.setattr(batches, "_GATHERED_EXAMPLES", chunk)
    whole = epochs(TrainBatches(numbered(43), 8, seed=3), 4)
    assert len(whole) == 20
    for position in range(15):
        loader = TrainBatches(numbered(43), 8, seed=3, position=position)
        assert epochs(loader, 1) == whole[position : position + 5]
        assert loader.state_dict() == {"position": position + 5}


def test_the_state_counts_batches_delivered():
    """A position that runs ahead with the batches gathered together, or forgets a pass broken off."""
    loader = TrainBatches(numbered(43), 8, seed=3)
    whole = epochs(TrainBatches(numbered(43), 8, seed=3), 2)
    taken = [y.tolist() for _, y in itertools.islice(loader, 3)]
    assert (taken, loader.state_dict()) == (whole[:3], {"position": 3})
    other = TrainBatches(numbered(43), 8, seed=3)
    other.load_state_dict(loader.state_dict())
    assert epochs(other, 1) == whole[3:8]


@pytest.mark.parametrize("world_size", [2, 3, 4])
@pytest.mark.parametrize("position", [0, 2])
def test_ranks_together_see_what_one_process_sees(world_size: int, position: int):
    """Ranks that share examples, or an epoch that depends on their number."""
    one = epochs(TrainBatches(numbered(101), 4 * world_size, 5, position), 2)
    ranks = [epochs(TrainBatches(numbered(101), 4, 5, position, rank, world_size), 2) for rank in range(world_size)]
    assert [list(itertools.chain(*step)) for step in zip(*ranks, strict=True)] == one


def test_fewer_examples_than_a_batch():
    """An epoch without batches, which would train on nothing."""
    loader = TrainBatches(numbered(5), 32, seed=1)
    drawn = epochs(loader, 3)
    assert (len(loader), len(drawn)) == (1, 3)
    assert all(sorted(batch) == [0, 1, 2, 3, 4] for batch in drawn)
    ranks = [epochs(TrainBatches(numbered(6), 32, 1, 0, rank, 3), 1) for rank in range(3)]
    assert sorted(itertools.chain(*itertools.chain(*ranks))) == [0, 1, 2, 3, 4, 5]


def test_fewer_examples_than_ranks_is_an_error():
    """A message about tensor shapes where the user has too many devices for the data."""
    with pytest.raises(ValueError):
        next(iter(TrainBatches(numbered(2), 1, 1, 0, 0, world_size=3)))


def test_padded_words_make_batches_too():
    """Items cut or mixed where several batches are gathered at once."""
    words = random_words(23)
    x, y = next(iter(TrainBatches(PaddedItems(words), 5, seed=1)))
    assert x.shape == y.shape
    assert x.shape[0] == 5
    seen = sum(1 for _, y in TrainBatches(PaddedItems(words), 5, seed=1) for _ in y)
    assert seen == 20


@pytest.mark.parametrize("world_size", [1, 2, 3, 50])
@pytest.mark.parametrize("limit", [1, 40, 1 << 14])
def test_word_batches_hold_each_word_once(monkeypatch: pytest.MonkeyPatch, world_size: int, limit: int):
    """A validation loss over words missed or counted twice, by batching or by sharing among ranks."""
    monkeypatch.setattr(batches, "_SCORED_POSITIONS", limit)
    words, seen = random_words(41), []
    whole = PaddedItems(words)
    for rank in range(world_size):
        loader = ItemBatches(words, torch.arange(41), rank, world_size)
        drawn = list(loader)
        assert len(drawn) == len(loader)
        for x, y, places in drawn:
            assert len(places) == 1 or x.numel() <= limit
            x_expected, y_expected = whole.gather(places)
            assert torch.equal(x, x_expected)
            assert torch.equal(y, y_expected)
            seen += places.tolist()
    assert sorted(seen) == list(range(41))


def test_word_batches_put_words_of_like_length_together():
    """One long word that makes every batch as wide as itself."""
    words = random_words(2000, longest=60)
    padding = sum(int((y == IGNORE).sum()) for _, y, _ in ItemBatches(words, torch.arange(2000)))
    assert padding < 0.25 * len(words.stream)
