"""Compiled steps are kept from run to run: the right ones, whole ones, and not too many."""

import importlib
import logging
import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from compare import equal
from run_command import FIT, ROOT, run
from torch import nn

from mm_lightning.networks import MLP
from mm_lightning.training.block_steps import program_cache
from mm_lightning.training.block_steps.compiled_loop import CompiledSteps
from mm_lightning.training.optimization import GradientClipping

K, N, V = 4, 8, 5
OPTIONS = (
    *("--data.path", "words.txt", "--data.batch_size", "5", "--model.network.dropout", "0.2"),
    *("--trainer.max_steps", "60", "--trainer.steps_per_execution", "16", "--trainer.compile", "true"),
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache/mm_lightning"


def steps_of(network=None, optimizer=None, size=N, max_steps=K, **options):
    """Compiled steps of a small network, not yet compiled."""
    network = network or MLP(V, hidden_dim=6)
    optimizer = optimizer or torch.optim.SGD(network.parameters(), lr=0.1)
    x = torch.zeros(K, size, network.block_size, dtype=torch.int64)
    return CompiledSteps(network, optimizer, max_steps, x, x[..., 0], **options)


def key_of(*args, **options):
    return steps_of(*args, **options)._key


def adam(network, **options):
    return {"network": network, "optimizer": torch.optim.AdamW(network.parameters(), **options)}


def frozen(network):
    network.embedding.weight.requires_grad_(False)
    return network


CHANGES = {
    "width": lambda: {"network": MLP(V, hidden_dim=7)},
    "activation": lambda: {"network": MLP(V, hidden_dim=6, activation="relu")},
    "dropout": lambda: {"network": MLP(V, hidden_dim=6, dropout=0.1)},
    "other dropout": lambda: {"network": MLP(V, hidden_dim=6, dropout=0.2)},
    "statistics": lambda: {"network": MLP(V, hidden_dim=6, batch_norm=True)},
    "a fixed weight": lambda: {"network": frozen(MLP(V, hidden_dim=6))},
    "momentum": lambda: {
        "network": (network := MLP(V, hidden_dim=6)),
        "optimizer": torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9),
    },
    "optimiser": lambda: adam(MLP(V, hidden_dim=6)),
    "decay": lambda: adam(MLP(V, hidden_dim=6), weight_decay=0.2),
    "beta": lambda: adam(MLP(V, hidden_dim=6), betas=(0.9, 0.98)),
    "clipping": lambda: {"clipping": GradientClipping(1.0)},
    "other clipping": lambda: {"clipping": GradientClipping(2.0)},
    "clipping by value": lambda: {"clipping": GradientClipping(1.0, "value")},
    "precision": lambda: {"autocast": True},
    "batch size": lambda: {"size": N + 1},
    "K": lambda: {"max_steps": K + 1},
}


def test_each_setting_has_its_own_program():
    """Catches a program that is taken for another one's, and one that no later run finds."""
    keys = {name: key_of(**make()) for name, make in CHANGES.items()}
    same = key_of()
    assert same == key_of(), "other weights are the same program"
    network = MLP(V, hidden_dim=6)
    assert same == key_of(network, torch.optim.SGD(network.parameters(), lr=0.2)), "a learning rate is no constant"
    assert None not in keys.values()
    assert len({same, *keys.values()}) == len(keys) + 1


@pytest.mark.parametrize("change", ["threads", "compiler", "processor", "torch", "options"])
def test_each_surrounding_has_its_own_program(monkeypatch, change):
    """Catches machine code of another processor, compiler, torch or thread count."""
    before = key_of()
    if change == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    elif change == "compiler":
        monkeypatch.setenv("CXX", "clang++")
    elif change == "processor":
        monkeypatch.setattr(program_cache, "_processor", lambda: "another")
    elif change == "torch":
        monkeypatch.setattr(torch, "__version__", "3.0")
    else:
        monkeypatch.setitem(program_cache._OPTIONS, "aot_inductor.debug_symbols", True)
    assert key_of() not in (None, before)


def test_each_setting_of_torchs_compiler_has_its_own_program():
    """Catches machine code that was compiled under other settings."""
    before = key_of()
    with torch._inductor.config.patch(fallback_random=True):  # monkeypatch would leave the setting unreadable
        assert key_of() not in (None, before)
    assert key_of() == before


@pytest.mark.parametrize(
    "setting",
    [{"aot_inductor.metadata": {"AOTI_PLATFORM": "linux"}}, {"xpu.cutlass_dir": "/elsewhere"}],
    ids=["what the compiler notes of its last program", "a folder that depends on where a command is started"],
)
def test_a_program_is_found_whatever_says_nothing_of_it(setting):
    """Catches a key that changes from run to run."""
    before = key_of()
    with torch._inductor.config.patch(setting):
        assert key_of() == before


@pytest.mark.slow
def test_the_compilers_settings_are_the_same_in_every_folder(tmp_path):
    """Catches a setting with the folder in which a process was started: each folder would compile anew."""
    code = "from mm_lightning.training.block_steps import program_cache as p; print(p._compiler_settings())"
    settings = []
    for name in ("here", "elsewhere"):
        folder = tmp_path / name
        folder.mkdir()
        command = [sys.executable, "-c", code]
        settings.append(
            subprocess.run(
                command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True
            ).stdout
        )
    assert len(settings[0]) > 1_000
    assert settings[0] == settings[1]


def test_nothing_is_kept_where_the_processor_is_unknown(monkeypatch):
    """Catches a guess."""
    monkeypatch.setattr(program_cache, "_processor", lambda: None)
    assert key_of() is None


OWN = """
import torch
from mm_lightning.networks.base import WindowNetwork

class Own(WindowNetwork):
    def __init__(self, vocab_size):
        super().__init__(2)
        self.embedding = torch.nn.Embedding(vocab_size, vocab_size)
        self.mask = torch.full((vocab_size,), {mask})  # no buffer: no part of the state

    def forward(self, x):
        return scaled(self.embedding(x)[:, -1]) + self.mask

def scaled(logits):
    return logits * {factor}
"""


def test_a_changed_source_is_another_program(tmp_path, monkeypatch):
    """Catches steps of a network as it was before its user changed it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    keys = []
    for factor, mask in ((2, 0.0), (3, 0.0), (3, 1.0), (2, 0.0)):
        (tmp_path / "own_net.py").write_text(OWN.format(factor=factor, mask=mask))
        importlib.invalidate_caches()
        sys.modules.pop("own_net", None)
        keys.append(key_of(importlib.import_module("own_net").Own(V)))
    sys.modules.pop("own_net")
    assert len(set(keys)) == 3
    assert keys[0] == keys[-1]


def test_tracing_leaves_no_trace():
    """Catches random numbers drawn, statistics updated or weights changed by tracing."""
    network = MLP(V, hidden_dim=6, dropout=0.5, batch_norm=True)
    before, state = {key: value.clone() for key, value in network.state_dict().items()}, torch.get_rng_state()
    steps_of(network)
    assert torch.equal(state, torch.get_rng_state())
    assert equal(before, network.state_dict())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.fixture(scope="module")
def first(words_elsewhere, tmp_path_factory):
    """The cache folder and the last checkpoint of a run that compiled its step."""
    folder = tmp_path_factory.mktemp("first")
    return folder / "cache", *_fit(words_elsewhere, folder, folder / "cache")


def use_cache(path):
    """Set the cache folder of a process."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = path


def _fit(words, folder, cache):
    """The last checkpoint of a run in a process of its own, and what it says."""
    (folder / "words.txt").write_text(words.read_text())
    done = run(*FIT, *OPTIONS, cwd=folder, prepare=partial(use_cache, str(cache)))
    assert done.returncode == 0, done.stderr
    path = folder / "lightning_logs/version_0/checkpoints/last.ckpt"
    return torch.load(path, weights_only=True), done.stderr


def test_a_second_process_loads_the_program(first, words_elsewhere, tmp_path):
    """Catches a second compilation, and a kept program with other results than a new one."""
    cache, whole, said = first
    assert "compiling the step: a quarter of a minute or more" in said
    again, said = _fit(words_elsewhere, tmp_path, cache)
    assert "the compiled step is that of an earlier run" in said
    assert "compiling" not in said
    for key in ("state_dict", "optimizer_states", "train_loss"):
        assert equal(whole[key], again[key]), key
    assert equal(whole["callbacks"]["random_state"], again["callbacks"]["random_state"])


@pytest.mark.slow
def test_a_program_compiled_anew_is_the_same(first, words_elsewhere, tmp_path):
    """Catches results that depend on the state of the cache."""
    _, whole, _ = first
    again, said = _fit(words_elsewhere, tmp_path, tmp_path / "cache")
    assert "compiling the step" in said
    for key in ("state_dict", "optimizer_states", "train_loss"):
        assert equal(whole[key], again[key]), key


@pytest.mark.parametrize("damage", ["cut", "foreign", "empty", "flip"])
def test_a_damaged_program_is_deleted(first, cache, caplog, damage):
    """Catches a damaged program that runs or ends the run, and one that costs a line in each later run."""
    (kept,) = (first[0] / "mm_lightning").iterdir()
    content = kept.read_bytes()
    half = len(content) // 2
    damaged = {
        "cut": content[:half],
        "foreign": b"#!/bin/sh\n",
        "empty": b"",
        "flip": content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :],
    }[damage]
    cache.mkdir(parents=True)
    (cache / kept.name).write_bytes(damaged)
    with caplog.at_level(logging.INFO):
        assert program_cache.load(kept.name.partition("-")[0]) is None
    assert f"{cache / kept.name} is damaged; the step is compiled again" in caplog.text
    assert not list(cache.iterdir())


def test_the_oldest_programs_are_deleted(cache, tmp_path, monkeypatch):
    """Catches a folder that grows without end, and one that loses the program in use."""
    monkeypatch.setattr(program_cache, "_MAX_KEPT_MIB", 3)
    path = tmp_path / "program.pt2"
    for number in range(6):
        path.write_bytes(bytes([number]) * (1 << 20))
        program_cache._keep(path, f"{number}")
        for file in cache.iterdir():
            if file.name.startswith("0"):
                os.utime(file)  # used
            elif file.name.startswith(str(number)):
                os.utime(file, (number, number))
    assert sorted(file.name[0] for file in cache.iterdir()) == ["0", "4", "5"]


def test_a_program_that_cannot_be_kept_still_runs(tmp_path, monkeypatch, caplog):
    """Catches a run lost to a full disk, and a program that is silently not kept."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/mm_lightning").write_text("a file where the folder would be")
    path = tmp_path / "program.pt2"
    path.write_bytes(b"0")
    with caplog.at_level(logging.INFO):
        program_cache._keep(path, "key")
    assert "the compiled step is not kept for later runs: " in caplog.text


def test_fixed_weights_stay_inputs():
    """Catches weights without gradients that are compiled as constants, so that each value is another program."""
    keys = []
    for value in (0.0, 1.0):
        network = frozen(MLP(V, hidden_dim=6))
        nn.init.constant_(network.embedding.weight, value)
        keys.append(key_of(network))
    assert keys[0] == keys[1]
