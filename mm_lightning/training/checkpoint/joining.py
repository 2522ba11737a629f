"""Content of a mixture's checkpoint, from the contents of its networks' checkpoints."""

from collections.abc import Sequence
from typing import Any

from mm_lightning.training.checkpoint.keys import AVERAGING, CONFIG_KEY, RUN_CONFIG, TRAINED

_MIXTURE = "mm_lightning.networks.Mixture"
_NETWORK = "network."  # prefix of the network's weights
_NO_CONFIG = "{}"  # a mixture comes from several runs


def join(parts: Sequence[dict[str, Any]], weights: Sequence[float], geometric: bool = False) -> dict[str, Any]:
    """Make the content of the checkpoint of a mixture.

    Args:
        parts: Content of the checkpoint of each network, of the same data. The rest of the content is that of the last.
        weights: Weight of each network.
        geometric: Whether the mean of the networks is geometric.
    """
    last = parts[-1]
    tensors = {
        f"{_NETWORK}networks.{i}.{name.removeprefix(_NETWORK)}": value
        for i, part in enumerate(parts)
        for name, value in part["state_dict"].items()
    }
    networks = [part["hyper_parameters"]["network"] for part in parts]
    arguments = {
        "networks": networks,
        "weights": list(weights),
        "geometric": geometric,
    }
    return {
        **{key: value for key, value in last.items() if key not in (TRAINED, AVERAGING)},
        "global_step": sum(part["global_step"] for part in parts),
        "state_dict": tensors,
        "callbacks": {**last["callbacks"], RUN_CONFIG: {CONFIG_KEY: _NO_CONFIG}},
        "hyper_parameters": {
            **last["hyper_parameters"],
            "network": {"class_path": _MIXTURE, "init_args": arguments},
            "optimizer": None,
            "lr_scheduler": None,
        },
        "datamodule_hyper_parameters": {**last["datamodule_hyper_parameters"], "block_size": None},
        "optimizer_states": [],
        "lr_schedulers": [],
    }
