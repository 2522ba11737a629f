"""The selection of items: unique, only_new, the number requested and the end of attempts."""

from enumeration import all_new, sample_batches

from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks import MLP
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.sampler import Sampler, sample
from mm_lightning.sampling.selection import Selection


def does_not_start_with_a(items: list[str]) -> list[bool]:
    return [not item.startswith("a") for item in items]


def test_unique_and_only_new_keep_the_order(network: MLP, vocabulary: Vocabulary):
    """Catches repeats across batches, training items among new ones, and items that differ from plain samples."""
    plain = sample_batches(Sampler(network, vocabulary, SamplingOptions()), 20)
    unique = list(dict.fromkeys(plain))[:1500]
    new = [item for item in plain if not item.startswith("a")][:1500]
    both = list(dict.fromkeys(item for item in plain if not item.startswith("a")))[:500]
    assert len(unique) == len(new) == 1500
    assert sample(network, vocabulary, SamplingOptions(num_samples=1500, unique=True), all_new) == unique
    options = SamplingOptions(num_samples=1500, only_new=True)
    assert sample(network, vocabulary, options, does_not_start_with_a) == new
    options = SamplingOptions(num_samples=500, unique=True, only_new=True)
    assert sample(network, vocabulary, options, does_not_start_with_a) == both


def test_sampling_ends_with_a_message_if_items_are_missing(network: MLP, vocabulary: Vocabulary):
    """Catches an endless loop, and fewer items than requested without a message."""
    options = SamplingOptions(num_samples=30, unique=True, max_length=1)
    assert sorted(sample(network, vocabulary, options, all_new)) == ["a", "b", "c", "d"]
    sampler, selection = Sampler(network, vocabulary, options), Selection(options, all_new)
    found = [item for batch in selection.batches() for item in selection.accept(sampler.sample_batch(batch))]
    assert len(found) == 4
    # 100 samples for each of 30 items, in whole batches
    assert (selection.shortfall() or "").startswith("found 4 of 30 items in 3072 samples")


def test_small_batches_are_more_batches():
    """Catches a search that gives up early where a batch has few samples, as where conditions are approximate."""
    selection = Selection(SamplingOptions(num_samples=2), all_new, lambda: 16)
    assert len(list(selection.batches())) == 13
    assert (selection.shortfall() or "").startswith("found 0 of 2 items in 208 samples")


def test_a_complete_selection_has_no_shortfall():
    """Catches a warning after a complete list, and batches after enough items."""
    selection = Selection(SamplingOptions(num_samples=2), all_new)
    batches = selection.batches()
    assert next(batches) == 0
    assert selection.accept(["a", "b", "c"]) == ["a", "b"]
    assert list(batches) == []
    assert selection.shortfall() is None


def test_the_shortfall_of_a_beam_search_names_the_beam():
    """Catches advice on samples and temperature where no samples are taken."""
    selection = Selection(SamplingOptions(beam=20), all_new)
    selection.accept(["a"])
    assert "found 1 of 20 items with a beam of 20" in (selection.shortfall() or "")
