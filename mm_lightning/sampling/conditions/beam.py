"""Beam search for the most likely items under a condition.

Prefixes of one length are ranked by their probability times the max-product message of a table model, which is the
probability of the best continuation. If the messages are exact, the search is exact. Proof: suppose that one of the B
best items has a prefix that is not among the B best prefixes of its length. Then these B prefixes continue to B better
items, which is a contradiction.
"""

import torch
from torch import Tensor

from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.networks.base import Network, State
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.messages import MaxProductMessages
from mm_lightning.sampling.probabilities import checked_logits
from mm_lightning.sampling.rows import decode, select_state


def log_probabilities(logits: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Compute log-probabilities (B, V) of the next id as in scoring, with -inf for ids that are never sampled.

    Raises:
        UserError: If any logit is NaN or too large.
    """
    unsampled_ids = torch.tensor(vocabulary.unsampled_ids, dtype=torch.int64)
    return checked_logits(logits).cpu().double().log_softmax(1).index_fill(1, unsampled_ids, -torch.inf)


class BeamSearch:
    """Beam search for the items of highest probability.

    Args:
        network: The network; in eval mode for `search`.
        messages: Messages of the network's own table, or of a table model that approximates the network.
        condition: The condition.
        width: Number B of prefixes that are kept, and maximum number of items.
    """

    def __init__(self, network: Network, messages: MaxProductMessages, condition: Condition, width: int) -> None:
        self._messages = messages
        self._condition = condition
        self._width = width
        vocabulary = condition.vocabulary
        self._advance = network.advance_function(lambda logits: log_probabilities(logits, vocabulary), len(vocabulary))

    def search(self) -> list[str]:
        """Return at most B items, the most likely first."""
        nodes = self._messages.graph.starts(1)
        unread = torch.tensor([[BOUNDARY, *self._condition.prefix]])
        prefixes, scores = unread[:, 1:], torch.zeros(1, dtype=torch.float64)  # (B, T); (B,) log-probabilities
        best: list[tuple[float, str]] = []
        network_state: State = ()
        for length in range(self._messages.first_length, self._condition.max_length + 1):
            logs, network_state = self._advance(unread, network_state)
            logs = logs + scores[:, None]  # (B, V)
            ranks = logs + self._messages.next_weights(length, torch.ones_like(logs), nodes).log()
            best = self._merge(best, prefixes, ranks[:, BOUNDARY])
            rows, ids = self._extend(ranks)
            scores = logs[rows, ids]
            if not len(rows) or (len(best) == self._width and scores.max() <= best[-1][0]):
                break
            nodes = self._messages.graph.advance(nodes[rows], ids)
            unread = ids[:, None]
            prefixes = torch.cat([prefixes[rows], unread], 1)
            network_state = select_state(network_state, rows)
        return [item for _, item in best]

    def _extend(self, ranks: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows and the next ids of the B best longer prefixes, from ranks (B, V)."""
        flat = ranks.index_fill(1, torch.tensor([BOUNDARY]), -torch.inf).flatten()
        values, indices = flat.topk(min(self._width, len(flat)))
        indices = indices[values > -torch.inf]
        return indices // ranks.shape[1], indices % ranks.shape[1]

    def _merge(self, best: list[tuple[float, str]], prefixes: Tensor, scores: Tensor) -> list[tuple[float, str]]:
        """Merge the B best items so far with the prefixes (B, T) as items, whose log-probabilities are scores (B,)."""
        values, rows = scores.topk(min(self._width, len(scores)))
        rows = rows[values > -torch.inf]
        new = zip(scores[rows].tolist(), decode(self._condition.vocabulary, prefixes[rows]), strict=True)
        return sorted([*best, *new], key=lambda pair: -pair[0])[: self._width]
