"""The most likely words under a condition, by beam search.

Beginnings of one length compete by their probability times that of the best way to go on, as far as a guide knows it.
Where it knows it exactly, the beam loses nothing: were one of the B best words not among the best B beginnings of some
length, those would lead to B better words.
"""

import torch
from torch import Tensor

from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.networks.base import Network, State
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.messages import MaxProductMessages
from mm_lightning.sampling.probabilities import decode, finite_logits


def log_probabilities(logits: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Log-probabilities (B, V) of the next id as scoring has them; what is never drawn is impossible."""
    never = torch.tensor(vocabulary.unsampled_ids, dtype=torch.int64)
    return finite_logits(logits).double().cpu().log_softmax(1).index_fill(1, never, -torch.inf)


class BeamSearch:
    """Finds the words of highest probability.

    Args:
        network: In eval mode.
        guide: Made of the network's own table, or of a model that is like it.
        condition: What words are wanted.
        width: Beginnings B that are kept, and words.
    """

    def __init__(self, network: Network, guide: MaxProductMessages, condition: Condition, width: int) -> None:
        self._guide = guide
        self._condition = condition
        self._width = width
        vocabulary = condition.vocabulary
        self._read = network.advance_function(lambda logits: log_probabilities(logits, vocabulary), len(vocabulary))

    def search(self) -> list[str]:
        """At most B words, the most likely first."""
        windows, states = self._guide.start(1)
        fresh = torch.tensor([[BOUNDARY, *self._condition.prefix]])
        words, scores = fresh[:, 1:], torch.zeros(1, dtype=torch.float64)
        found: list[tuple[float, str]] = []
        state: State = ()
        for length in range(self._guide.first, self._condition.max_length + 1):
            logs, state = self._read(fresh, state)
            worth = self._guide.following(length, torch.ones_like(logs), windows, states).log()
            logs = logs + scores[:, None]
            found = self._best(found, words, (logs + worth)[:, BOUNDARY])
            ranks = (logs + worth).index_fill(1, torch.tensor([BOUNDARY]), -torch.inf).flatten()
            best, places = ranks.topk(min(self._width, len(ranks)))
            places = places[best > -torch.inf]
            rows, ids = places // logs.shape[1], places % logs.shape[1]
            scores = logs.flatten()[places]
            if not len(rows) or (len(found) == self._width and scores.max() <= found[-1][0]):
                break
            windows, states = self._guide.advance(windows[rows], states[rows], ids)
            fresh = ids[:, None]
            words = torch.cat([words[rows], fresh], 1)
            state = tuple(part.index_select(0, rows.to(part.device)) for part in state)
        return [word for _, word in found]

    def _best(self, found: list[tuple[float, str]], words: Tensor, scores: Tensor) -> list[tuple[float, str]]:
        """The best of the words found so far and of those (B, T) that may end now with these scores (B,)."""
        best, ended = scores.topk(min(self._width, len(scores)))
        ended = ended[best > -torch.inf]
        new = zip(scores[ended].tolist(), decode(self._condition.vocabulary, words[ended]), strict=True)
        return sorted([*found, *new], key=lambda pair: -pair[0])[: self._width]
