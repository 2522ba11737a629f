"""The networks, under the names that configs use."""

from mm_lightning.networks.bag_of_words import BagOfWords
from mm_lightning.networks.bigram import Bigram
from mm_lightning.networks.counted.kneser_ney import KneserNey
from mm_lightning.networks.counted.ngram import NGram
from mm_lightning.networks.counted.pitman_yor import PitmanYor
from mm_lightning.networks.mixture import Mixture
from mm_lightning.networks.mlp import MLP
from mm_lightning.networks.recurrent import GRU, LSTM, RNN
from mm_lightning.networks.transformer import Transformer
from mm_lightning.networks.wavenet import WaveNet

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "RNN",
    "BagOfWords",
    "Bigram",
    "KneserNey",
    "Mixture",
    "NGram",
    "PitmanYor",
    "Transformer",
    "WaveNet",
]
