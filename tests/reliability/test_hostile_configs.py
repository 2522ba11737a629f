"""Config files of any content: a fit, or one line and nothing half-made."""

import copy

import pytest
import yaml
from hostile import BOUNDS, KEPT, folder  # noqa: F401 # a fixture
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from limited import clean, fault, run_limited
from run_command import ROOT, run

RECIPES = ("mlp", "gru", "ngram", "transformer", "wavenet_22k")
NUMBERS = (None, True, -1, 0, 1, 3, 2**70, 0.5, 1e300, float("nan"), float("inf"))
NAMES = ("mm_lightning.networks.MLP", "torch.optim.Adam", "os.system", "nosuch.Class", "last", "/dev/null")
PLAIN = st.sampled_from([*NUMBERS, *NAMES, "", "x", "1e3", "\0", "é", "a" * 3000, b"\xff"])
OBJECTS = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)
PARTS = st.sampled_from(["replace", "replace", "replace", "drop", "misspell", "nest", "add"])
VALUES = st.sampled_from(NUMBERS) | OBJECTS
CHANGES = st.lists(st.tuples(PARTS, st.integers(0, 60), VALUES), min_size=1, max_size=2)
SNIPPETS = st.sampled_from(
    ["", "", "", "\t", "&a ", "*a", "!!python/object/apply:os.abort []", "- ", "\x00", "}", "---"]
)


def places(settings_, found):
    """Every section and key of nested settings."""
    for key, value in settings_.items():
        found.append((settings_, key))
        if isinstance(value, dict):
            places(value, found)
    return found


def changed(recipe, changes):
    result = copy.deepcopy(recipe)
    for kind, number, value in changes:
        found = places(result, [])
        if not found:
            break
        section, key = found[number % len(found)]
        if kind == "replace":
            section[key] = value
        elif kind == "drop":
            del section[key]
        elif kind == "misspell":
            section[f"{key}s"] = section.pop(key)
        elif kind == "nest":
            section[key] = {key: section[key]}
        else:
            section[f"new{number}"] = value
    return result


@pytest.mark.parametrize("count", [8, pytest.param(300, marks=pytest.mark.slow)])
def test_any_config_trains_or_is_one_line(folder, count):  # noqa: F811
    """Catches a traceback or a half-made run for a value of another type, a misspelt key, or text that is no YAML."""
    recipes = [yaml.safe_load((ROOT / f"configs/{name}.yaml").read_text()) for name in RECIPES]
    ended, faults = [], []

    @settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(recipe=st.sampled_from(recipes), changes=CHANGES, snippet=SNIPPETS, where=st.integers(0, 500))
    def property_of(recipe, changes, snippet, where):
        text = yaml.safe_dump(changed(recipe, changes), allow_unicode=True)
        text = f"{text[:where]}{snippet}{text[where:]}"
        (folder / "hostile.yaml").write_text(text, encoding="utf-8")
        few = () if "max_epochs" in text else ("--trainer.max_steps", 3)
        options = ("--config", "hostile.yaml", "--data.path", "words.txt", *BOUNDS, *few)
        done = run_limited("fit", *options, cwd=folder)
        ended.append(done.returncode)
        if wrong := fault(done, folder):
            faults.append((wrong, changes, snippet, text[:1500], done.stderr[-600:]))
        clean(folder, KEPT)

    property_of()
    print(f"{len(ended)} configs, {ended.count(0)} trained, {len(faults)} faults")
    for wrong in faults:
        print(*wrong, sep="\n  ")
    assert len(ended) >= count
    assert not faults


BAD_TEXTS = {
    "an anchor within itself": ("a: &a [*a]\n", "has *a where no part of this name is complete"),
    "a bomb of anchors": (
        "\n".join(f"k{i}: &k{i} [{f'*k{i - 1},' * 10 if i else 'x'}]" for i in range(9)),
        "becomes far larger when its aliases are written out",
    ),
    "deep nesting": ("a: " + "[" * 3000, "is nested more than 50 deep"),
    "a large file": ("#" * (1 << 23), "too many for settings"),
    "no UTF-8": ("\udcff", "is not UTF-8"),
}


@pytest.mark.parametrize("kind", BAD_TEXTS)
@pytest.mark.parametrize(
    "command",
    [("fit", "--config"), ("sweep", "--config"), ("sweep", "--space={a: {int: [1, 2]}}", "--trials", "1", "--base")],
)
def test_a_file_out_of_proportion_is_refused(tmp_path, command, kind):
    """Catches gigabytes for a few lines of YAML, and a traceback of the YAML reader."""
    text, message = BAD_TEXTS[kind]
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8", errors="surrogateescape")
    done = run_limited(*command, "bad.yaml", cwd=tmp_path)
    assert fault(done, tmp_path) is None, done.stderr
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


def test_null_where_a_setting_takes_none_is_an_error(folder):  # noqa: F811
    """Catches a null of a config, which the parser reads as not given and torch as a number."""
    for settings_, name in (
        ({"model": {"network": {"init_args": {"hidden_dim": None}}}}, "model.network.init_args.hidden_dim"),
        ({"model": {"optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": None}}}}, "model.optimizer"),
        ({"trainer": {"accumulate_grad_batches": None}}, "trainer.accumulate_grad_batches"),
        ({"last": {"every_n_train_steps": None}}, "last.every_n_train_steps"),
    ):
        (folder / "null.yaml").write_text(yaml.safe_dump(settings_))
        done = run("fit", "--config", "configs/mlp.yaml", "--config", "null.yaml", *BOUNDS, cwd=folder)
        assert f"error: {name}" in done.stderr
        assert "is null; leave it out" in done.stderr
        assert fault(done, folder) is None
    clean(folder, KEPT)
