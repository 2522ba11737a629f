"""The choice of a strategy for sampling under conditions.

- Rejection sampling is exact for every network. It is chosen where enough unconditioned samples meet the condition.
- Sampling by a table is exact too, and fast for rare conditions. The context must be short: a table holds all windows.
- Resampling approximates the distribution. Its use is rare conditions for networks with a long context.
- Beam search finds the most likely items instead of samples.
"""

from functools import cached_property

import torch
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks.base import Network
from mm_lightning.sampling.conditions.beam import BeamSearch, log_probabilities
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.exact import ExactSampler
from mm_lightning.sampling.conditions.graph import Graph
from mm_lightning.sampling.conditions.messages import MAX_NUMBERS, MaxProductMessages, SumProductMessages
from mm_lightning.sampling.conditions.proposal import proposal
from mm_lightning.sampling.conditions.rejection import RejectionSampler
from mm_lightning.sampling.conditions.resampling import Resampler
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SMALLEST_BATCH, SamplingOptions
from mm_lightning.sampling.probabilities import next_probabilities
from mm_lightning.sampling.sampler import require_eval_mode

_MIN_ACCEPTANCE_RATE = 1 / 32  # of rejection sampling; below, another strategy is chosen
_MAX_EDGES = 1 << 24  # of the graph for the exact table: 192 MiB with their probabilities
_MIN_MESSAGES = 32  # that an exact table must leave room for, each with a number per node of the graph
_IMPOSSIBLE = (
    "no item that meets the conditions has a probability above 0 for this model under these sampling settings; "
    "loosen the conditions, or temperature, top_k and top_p"
)


class ConditionalSampler:
    """Sampler of a network's items under the conditions of the options, batch by batch.

    Args:
        network: The network; in eval mode and with its weights loaded for `sample_batch`.
        vocabulary: The vocabulary of the network.
        options: The sampling options.

    Attributes:
        condition: The condition on items.

    Raises:
        UserError: If no item can meet the condition.
    """

    def __init__(self, network: Network, vocabulary: Vocabulary, options: SamplingOptions) -> None:
        self.network = network
        self.vocabulary = vocabulary
        self.options = options
        self.condition = Condition(vocabulary, options)
        self._rejection = RejectionSampler(network, self.condition, options)

    @property
    def num_rows(self) -> int:
        """Samples of each batch; needs the network's weights."""
        is_approximate = self.options.beam is None and isinstance(self.strategy, Resampler)
        return SMALLEST_BATCH if is_approximate else SAMPLE_BATCH_SIZE

    @torch.no_grad()
    def sample_batch(self, batch: int) -> list[str]:
        """Sample the batch with this index; with the option `beam`, search for the most likely items.

        Raises:
            RuntimeError: If the network is in training mode.
            UserError: If the network's logits are NaN or too large, or no item under the condition has a probability.
        """
        require_eval_mode(self.network)
        return self.strategy.sample_batch(batch) if self.options.beam is None else self._search(self.options.beam)

    def _search(self, width: int) -> list[str]:
        messages = MaxProductMessages(*self.message_model, self.condition)
        items = BeamSearch(self.network, messages, self.condition, width).search()
        if not items and self.exact_model is not None:
            raise UserError(_IMPOSSIBLE)
        return items

    @cached_property
    def strategy(self) -> RejectionSampler | ExactSampler | Resampler:
        """The chosen sampler; the choice does not depend on the batches sampled before."""
        prefers_rejection = not self.condition.has_rules or self.exact_model is None
        if prefers_rejection and len(self._rejection.first_batch) >= _MIN_ACCEPTANCE_RATE * SAMPLE_BATCH_SIZE:
            return self._rejection
        messages = SumProductMessages(*self.message_model, self.condition)
        if self.exact_model is not None:
            if not messages.is_possible:
                raise UserError(_IMPOSSIBLE)
            if messages.acceptance_rate >= _MIN_ACCEPTANCE_RATE:
                return ExactSampler(messages, self.condition, self.options.seed)
        rank_zero_info("the conditions are rarely met: resampling approximates the model's distribution of items")
        return Resampler(self.network, messages, self.condition, self.options)

    @cached_property
    def exact_model(self) -> tuple[Tensor, Graph] | None:
        """The network's probabilities (V^C, V) of the next id after every window, and the graph for these windows.

        None if there is no room for them.
        """
        table = self.network.window_table(self._next_probabilities, len(self.vocabulary))
        if table is None or self.network.context is None:
            return None
        graph = Graph.of(self.condition, self.network.context, _MAX_EDGES)
        num_messages = max(_MIN_MESSAGES, self.condition.min_length)
        if graph is None or len(graph) * num_messages > MAX_NUMBERS:
            return None
        return table.rows(), graph

    def _next_probabilities(self, logits: Tensor) -> Tensor:
        if self.options.beam is not None:
            return log_probabilities(logits, self.vocabulary).exp()
        return next_probabilities(logits, self.vocabulary, self.options)

    @cached_property
    def message_model(self) -> tuple[Tensor, Graph]:
        """The table and the graph for the messages: exact ones, or ones that approximate the network."""
        if self.exact_model is not None:
            return self.exact_model
        return proposal(self.network, self.condition, self.options)
