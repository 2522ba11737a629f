"""Samples to measure."""

from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks import GRU
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.valid_items import sample_valid


def test_labels_without_samples_do_not_count(vocabulary: Vocabulary):
    """Catches a share of valid samples that falls with the number of labels."""
    labels = {f"{number}": 1 for number in range(20)}
    network = GRU(len(vocabulary), embed_dim=4, hidden_dim=8, num_labels=len(labels)).eval()
    items, valid = sample_valid(network, vocabulary, labels, SamplingOptions(10, max_length=1000))
    assert len(items) == 10
    assert valid == 1


def test_progress_is_reported(tiny_gru: GRU, vocabulary: Vocabulary):
    """Catches a bar that stands still, or ends before or after the number of items, with labels too."""
    options = SamplingOptions(3000, max_length=5)
    labelled = GRU(len(vocabulary), embed_dim=4, hidden_dim=8, num_labels=2).eval()
    for network, labels in ((tiny_gru, {}), (labelled, {"F": 3, "M": 1})):
        reports: list[int] = []
        items, _ = sample_valid(network, vocabulary, labels, options, report=reports.append)
        assert sum(reports) == len(items) == 3000
        assert len(reports) > 2
