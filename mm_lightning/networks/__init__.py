"""The networks, under the names that configs use."""

from mm_lightning.networks.mlp import MLP

__all__ = ["MLP"]
