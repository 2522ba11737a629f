"""Training batches as a pure function of seed, position and rank, and scoring batches with every item once."""

import itertools
import random

import pytest
import torch

from mm_lightning import UserError
from mm_lightning.data import batches
from mm_lightning.data.batches import ItemBatches, TrainBatches
from mm_lightning.data.encoding import IGNORE, EncodedItems, PaddedItems, Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import UNKNOWN, Vocabulary, WordVocabulary


def numbered(count: int) -> Windows:
    """Examples with distinct targets: one item of distinct characters."""
    alphabet = "".join(map(chr, range(0x4E00, 0x4E00 + count - 1)))
    return Windows(encode(Items.from_strings([alphabet]), Vocabulary(alphabet)), 2)


def epochs(loader: TrainBatches, count: int) -> list[list[int]]:
    """Targets of each batch, over `count` epochs."""
    return [y.tolist() for _ in range(count) for _, y in loader]


def random_items(count: int, max_length: int = 12) -> EncodedItems:
    rng = random.Random(0)
    strings = ["".join(rng.choices("abc", k=rng.randint(1, max_length))) for _ in range(count)]
    return encode(Items.from_strings(strings), Vocabulary("abc"))


@pytest.mark.parametrize(("count", "batch_size"), [(64, 8), (65, 8), (71, 8), (10, 4), (7, 7), (9, 1)])
def test_an_epoch_holds_each_example_at_most_once(count: int, batch_size: int):
    """Catches repeated examples, a short last batch, and a last batch filled from the front."""
    loader = TrainBatches(numbered(count), batch_size, seed=1)
    epoch = epochs(loader, 1)
    assert len(epoch) == len(loader) == count // batch_size
    assert {len(batch) for batch in epoch} == {batch_size}
    flat = list(itertools.chain(*epoch))
    assert len(set(flat)) == len(flat)


def test_x_belongs_to_y():
    """Catches inputs and targets shuffled differently."""
    x, y = next(iter(TrainBatches(numbered(50), 50, seed=1)))
    last = torch.where(y == 0, 49, y - 1)  # ids count up, so the last id of a context is the target minus 1
    assert torch.equal(x[:, -1], last)


def test_epochs_and_seeds_shuffle_differently():
    """Catches the same order in every epoch, which would also leave out the same examples every time."""
    one = epochs(TrainBatches(numbered(66), 8, seed=1), 12)
    assert one[:8] != one[8:16]
    assert set(itertools.chain(*one)) == set(range(66))
    assert one == epochs(TrainBatches(numbered(66), 8, seed=1), 12)
    assert one != epochs(TrainBatches(numbered(66), 8, seed=2), 12)


@pytest.mark.parametrize("gathered", [1, 20, 8192])
def test_batches_resume_from_any_position(monkeypatch: pytest.MonkeyPatch, gathered: int):
    """Catches a resumed run that repeats or skips batches, within an epoch or across two."""
    monkeypatch.setattr(batches, "_GATHERED_EXAMPLES", gathered)
    whole = epochs(TrainBatches(numbered(43), 8, seed=3), 4)
    assert len(whole) == 20
    for position in range(15):
        loader = TrainBatches(numbered(43), 8, seed=3, position=position)
        assert epochs(loader, 1) == whole[position : position + 5]
        assert loader.state_dict() == {"position": position + 5, "global_batch": 8}


def test_the_state_counts_batches_delivered():
    """Catches a position that counts batches gathered but not yielded, and one that forgets an unfinished epoch."""
    loader = TrainBatches(numbered(43), 8, seed=3)
    whole = epochs(TrainBatches(numbered(43), 8, seed=3), 2)
    first = [y.tolist() for _, y in itertools.islice(loader, 3)]
    assert (first, loader.state_dict()) == (whole[:3], {"position": 3, "global_batch": 8})
    other = TrainBatches(numbered(43), 8, seed=3)
    other.load_state_dict(loader.state_dict())
    assert epochs(other, 1) == whole[3:8]


@pytest.mark.parametrize("world_size", [2, 3, 4])
@pytest.mark.parametrize("position", [0, 2])
def test_ranks_together_see_what_one_process_sees(world_size: int, position: int):
    """Catches ranks that share examples, and an epoch that depends on the number of ranks."""
    one = epochs(TrainBatches(numbered(101), 4 * world_size, 5, position), 2)
    ranks = [epochs(TrainBatches(numbered(101), 4, 5, position, rank, world_size), 2) for rank in range(world_size)]
    assert [list(itertools.chain(*step)) for step in zip(*ranks, strict=True)] == one


@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
@pytest.mark.parametrize("position", [0, 5, 7, 8, 13, 16])
def test_another_number_of_ranks_goes_on_at_the_same_place(world_size: int, position: int):
    """Catches a position that counts the batches of a rank, where ranks share the same global batch."""
    whole = epochs(TrainBatches(numbered(101), 12, 5), 3)
    state = TrainBatches(numbered(101), 12, 5, position).state_dict()
    found = []
    for rank in range(world_size):
        loader = TrainBatches(numbered(101), 12 // world_size, 5, 0, rank, world_size)
        loader.load_state_dict(state)
        found.append(epochs(loader, 1))
    assert [list(itertools.chain(*step)) for step in zip(*found, strict=True)] == whole[position : position + 8]


@pytest.mark.parametrize(("old", "new"), [(12, 4), (12, 5), (5, 12), (12, 100), (12, 1000), (1000, 12)])
def test_batches_of_another_size_go_on_in_the_same_shuffle(old: int, new: int):
    """Catches a position in batches that leaves out a part of the data, or begins an epoch that is over."""
    before = TrainBatches(numbered(101), old, 5)
    for position in range(2 * len(before) + 1):
        state = TrainBatches(numbered(101), old, 5, position).state_dict()
        loader = TrainBatches(numbered(101), new, 5)
        loader.load_state_dict(state)
        (epoch, used), (epoch_now, begun) = divmod(position, len(before)), divmod(loader.position, len(loader))
        assert epoch_now == epoch
        assert begun * loader.batch_size <= used * before.batch_size
        assert (begun + 1) * loader.batch_size > used * before.batch_size or begun == len(loader) - 1


def test_a_position_of_an_earlier_version_counts_batches_of_the_same_size():
    """Catches a checkpoint without the size of a batch that cannot be resumed."""
    for state in ({"position": 3}, {"position": 3, "global_batch": None}):
        loader = TrainBatches(numbered(43), 8, seed=3)
        loader.load_state_dict(state)
        assert loader.position == 3


def test_fewer_examples_than_a_batch():
    """Catches an epoch without batches, which would train on nothing."""
    loader = TrainBatches(numbered(5), 32, seed=1)
    found = epochs(loader, 3)
    assert (len(loader), len(found)) == (1, 3)
    assert all(sorted(batch) == [0, 1, 2, 3, 4] for batch in found)
    ranks = [epochs(TrainBatches(numbered(6), 32, 1, 0, rank, 3), 1) for rank in range(3)]
    assert sorted(itertools.chain(*itertools.chain(*ranks))) == [0, 1, 2, 3, 4, 5]


def test_fewer_examples_than_ranks_is_an_error():
    """Catches a message about tensor shapes where the user has too many devices for the data."""
    with pytest.raises(ValueError):
        next(iter(TrainBatches(numbered(2), 1, 1, 0, 0, world_size=3)))


@pytest.mark.parametrize("num_repeated", [1, 3, 5])
def test_repeated_batches_are_the_first_of_the_first_epoch(num_repeated: int):
    """Catches new batches in each epoch of a run that is to overfit, and a resumed run that repeats others."""
    first = epochs(TrainBatches(numbered(43), 8, seed=3), 1)[:num_repeated]
    for position in range(7):
        found = epochs(TrainBatches(numbered(43), 8, 3, position, num_repeated=num_repeated), 2)
        assert found == [first[i % num_repeated] for i in range(position, position + 10)]


def test_padded_items_make_batches_too():
    """Catches items cut or mixed where several batches are gathered at once."""
    items = random_items(23)
    x, y = next(iter(TrainBatches(PaddedItems(items), 5, seed=1)))
    assert x.shape == y.shape
    assert x.shape[0] == 5
    assert sum(len(y) for _, y in TrainBatches(PaddedItems(items), 5, seed=1)) == 20


@pytest.mark.parametrize("world_size", [1, 2, 3, 41])
@pytest.mark.parametrize("limit", [1, 40, 1 << 14])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_scoring_batches_hold_each_item_once(
    monkeypatch: pytest.MonkeyPatch, world_size: int, limit: int, is_sorted: bool
):
    """Catches items missed or counted twice in a validation loss, by batching or by sharing among ranks."""
    monkeypatch.setattr(batches, "_MAX_SCORED_POSITIONS", limit)
    items, seen, counts = random_items(41), [], set()
    padded = PaddedItems(items)
    for rank in range(world_size):
        loader = ItemBatches(items, torch.arange(41), rank, world_size, is_sorted)
        found = list(loader)
        assert len(found) == len(loader)
        counts.add(len(found))
        for number, (x, y, indices) in enumerate(found, 1):
            has_rest = world_size > 1 and number == len(found)  # an item that the last process has no match for
            assert len(indices) - has_rest == 1 or x[has_rest:].numel() <= limit
            x_expected, y_expected = padded.gather(indices)
            assert torch.equal(x, x_expected)
            assert torch.equal(y, y_expected)
            seen += indices.tolist()
    assert sorted(seen) == list(range(41))
    assert len(counts) == 1  # or one process would wait for the buffers of another


def test_unsorted_scoring_batches_keep_the_order_of_the_items(monkeypatch: pytest.MonkeyPatch):
    """Catches a part of the batches that has the shortest items alone."""
    monkeypatch.setattr(batches, "_MAX_SCORED_POSITIONS", 40)
    loader = ItemBatches(random_items(41), torch.arange(41), is_sorted=False)
    assert len(loader) > 5
    assert [index for _, _, indices in loader for index in indices.tolist()] == list(range(41))


def test_fewer_items_than_ranks_is_an_error():
    """Catches a traceback of Lightning where a process has nothing to score."""
    with pytest.raises(UserError, match="2 items cannot be shared by 3 devices; use fewer"):
        ItemBatches(random_items(2), torch.arange(2), 0, 3)


def test_scoring_batches_have_items_of_similar_length():
    """Catches a long item that makes every batch as wide as itself."""
    items = random_items(2000, max_length=60)
    padding = sum(int((y == IGNORE).sum()) for _, y, _ in ItemBatches(items, torch.arange(2000)))
    assert padding < 0.25 * len(items.stream)


def test_logits_of_a_scoring_batch_are_bounded(monkeypatch: pytest.MonkeyPatch):
    """Catches a gigabyte of logits in validation with a vocabulary of many thousand words."""
    monkeypatch.setattr(batches, "_MAX_SCORED_LOGITS", 900)
    vocabulary = WordVocabulary([UNKNOWN, *"abcdefg"])
    rng = random.Random(0)
    sentences = [" ".join(rng.choices("abcdefgh", k=rng.randint(0, 8))) for _ in range(300)]
    loader = ItemBatches(encode(Items.from_strings(sentences), vocabulary), torch.arange(300))
    assert max(x.numel() * len(vocabulary) for x, _, _ in loader) <= 900
    assert sum(len(x) for x, _, _ in loader) == 300
    few_ids = ItemBatches(encode(Items.from_strings(["ab"] * 300), Vocabulary("ab")), torch.arange(300))
    assert len(few_ids) == 3  # 900 logits are 100 items of 3 positions and 3 ids
