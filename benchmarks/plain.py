"""Networks and a training loop in makemore's design, in plain PyTorch: the baseline of throughput.py.

The code is new, the design is makemore's: a Dataset encodes one item at a time, padded to the longest of the file. The
MLP collects its context by rolling, the GRU calls its cell per position, attention is written out with its mask.
"""

import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, RandomSampler

WIDTH = 64


class Items(Dataset[tuple[Tensor, Tensor]]):
    """Items, encoded on access: x and y, (longest + 1,) each."""

    def __init__(self, items: list[str]) -> None:
        self.items = items
        self.ids = {character: i for i, character in enumerate(sorted(set("".join(items))), start=1)}
        self.size = max(map(len, items)) + 1

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        ids = torch.tensor([self.ids[character] for character in self.items[index]], dtype=torch.long)
        x, y = torch.zeros(self.size, dtype=torch.long), torch.full((self.size,), -1)
        x[1 : 1 + len(ids)], y[: len(ids)] = ids, ids
        y[len(ids)] = 0
        return x, y


class PlainMLP(nn.Module):
    """An MLP with one hidden layer; its context is all earlier positions, collected by rolling."""

    def __init__(self, vocab_size: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.table = nn.Embedding(vocab_size + 1, WIDTH)
        self.layers = nn.Sequential(nn.Linear(size * WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, vocab_size))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, T, V)."""
        parts = []
        for _ in range(self.size):
            parts.append(self.table(x))
            x = torch.roll(x, 1, 1)
            x[:, 0] = self.table.num_embeddings - 1
        return self.layers(torch.cat(parts, -1))


class PlainRecurrent(nn.Module):
    """A recurrent network whose cell is called once per position; a subclass has the cell."""

    num_states = 1

    def __init__(self, vocab_size: int, size: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(self.num_states, 1, WIDTH))
        self.table = nn.Embedding(vocab_size, WIDTH)
        self.gates = nn.ModuleList(nn.Linear(2 * WIDTH, WIDTH) for _ in range(2 + self.num_states))
        self.output = nn.Linear(WIDTH, vocab_size)

    def cell(self, x: Tensor, state: list[Tensor]) -> list[Tensor]:
        """State after one position, from x (B, E) and the state before; its first tensor (B, E) is the output."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, T, V)."""
        embedded, state, states = self.table(x), [first.expand(len(x), -1) for first in self.first], []
        for position in range(x.shape[1]):
            state = self.cell(embedded[:, position], state)
            states.append(state[0])
        return self.output(torch.stack(states, 1))


class PlainGRU(PlainRecurrent):
    """A GRU."""

    def cell(self, x: Tensor, state: list[Tensor]) -> list[Tensor]:
        """State after one position."""
        (hidden,), (reset, update, candidate) = state, self.gates
        both = torch.cat([x, hidden], 1)
        kept = torch.sigmoid(reset(both)) * hidden
        fresh, share = torch.tanh(candidate(torch.cat([x, kept], 1))), torch.sigmoid(update(both))
        return [(1 - share) * hidden + share * fresh]


class PlainLSTM(PlainRecurrent):
    """An LSTM; makemore has none, so this is its GRU's design with an LSTM's cell."""

    num_states = 2

    def cell(self, x: Tensor, state: list[Tensor]) -> list[Tensor]:
        """State after one position."""
        both, memory = torch.cat([x, state[0]], 1), state[1]
        entry, kept, shown, fresh = (gate(both) for gate in self.gates)
        memory = torch.sigmoid(kept) * memory + torch.sigmoid(entry) * torch.tanh(fresh)
        return [torch.sigmoid(shown) * torch.tanh(memory), memory]


class PlainLayer(nn.Module):
    """A Transformer layer: causal attention and an MLP, each with a residual connection."""

    def __init__(self, size: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.into, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.widen, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.register_buffer("mask", torch.ones(size, size).tril().view(1, 1, size, size))

    def forward(self, x: Tensor) -> Tensor:
        """Residual stream (B, T, E)."""
        shape = (*x.shape[:2], self.heads, -1)
        query, key, value = (part.view(shape).transpose(1, 2) for part in self.into(self.norms[0](x)).split(WIDTH, 2))
        weights = query @ key.transpose(-2, -1) * key.shape[-1] ** -0.5
        weights = weights.masked_fill(self.mask == 0, float("-inf")).softmax(-1)  # type: ignore[operator] # a buffer
        x = x + self.out((weights @ value).transpose(1, 2).reshape(x.shape))
        wide = self.widen(self.norms[1](x))
        wide = 0.5 * wide * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (wide + 0.044715 * wide**3)))
        return x + self.narrow(wide)


class PlainTransformer(nn.Module):
    """A Transformer as GPT-2, of four layers."""

    def __init__(self, vocab_size: int, size: int) -> None:
        super().__init__()
        self.table, self.positions = nn.Embedding(vocab_size, WIDTH), nn.Embedding(size, WIDTH)
        self.layers = nn.Sequential(*(PlainLayer(size) for _ in range(4)))
        self.norm, self.output = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, vocab_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, T, V)."""
        x = self.table(x) + self.positions(torch.arange(x.shape[1]))[None]
        return self.output(self.norm(self.layers(x)))


def targets_per_second(kind: type[nn.Module], path: Path, batch_size: int, steps: int, skipped: int = 20) -> float:
    """Characters trained on per second, without padding and without the first `skipped` steps."""
    items = Items(path.read_text(encoding="utf-8").split())
    torch.manual_seed(1)
    network = kind(len(items.ids) + 1, items.size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=0.01, betas=(0.9, 0.99))
    sampler = RandomSampler(items, replacement=True, num_samples=(skipped + steps) * batch_size)
    targets, began = 0, 0.0
    for step, (x, y) in enumerate(DataLoader(items, batch_size, sampler=sampler), start=1):
        loss = F.cross_entropy(network(x).flatten(0, 1), y.flatten(), ignore_index=-1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step == skipped:
            began, targets = time.perf_counter(), 0
        targets += int((y >= 0).sum())
    return targets / (time.perf_counter() - began)
