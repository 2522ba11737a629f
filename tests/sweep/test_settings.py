"""The nested settings of a fit: YAML values and dotted keys."""

import re

import pytest
import yaml

from mm_lightning import UserError
from mm_lightning.sweep.settings import flatten, parse_value, read_settings, set_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-2E5", -2e5),
        ("1.", 1.0),
        ("12", 12),
        ("2024-05-01", "2024-05-01"),
        ("null", None),
        ("true", True),
        ("[1, 2]", [1, 2]),
    ],
)
def test_a_value_has_the_type_that_fit_gives_it(text, value):
    """Catches 1e-3 read as a string, which YAML 1.1 makes of it, and null read as the word."""
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize("text", ["a: b: c", "[", "names.txt", "1e-3x"])
def test_a_value_that_is_no_yaml_is_a_string(text):
    """Catches a traceback of the YAML parser for the name of a file."""
    assert parse_value(text) == text


def test_a_dotted_key_leads_into_sections():
    """Catches a value that overwrites its neighbours, and a section that is null in the file."""
    settings = {"a": {"b": 1}, "empty": None}
    for key, value in {"a.c": 2, "empty.d": 3, "new.e.f": None}.items():
        set_value(settings, key, value)
    assert settings == {"a": {"b": 1, "c": 2}, "empty": {"d": 3}, "new": {"e": {"f": None}}}
    assert dict(flatten(settings)) == {"a.b": 1, "a.c": 2, "empty.d": 3, "new.e.f": None}


def test_a_dotted_key_does_not_replace_a_value():
    """Catches a network given as a plain name that is lost when one of its arguments is set."""
    with pytest.raises(UserError, match=r"a\.b\.c leads nowhere: a\.b is 'MLP'; write it out as class_path"):
        set_value({"a": {"b": "MLP"}}, "a.b.c", 1)


def test_the_config_of_a_run_is_a_base(tmp_path):
    """Catches options of fit that no parser of a trial knows, and one that asks for more than trials do."""
    path = tmp_path / "config.yaml"
    options = {"ckpt_path": None, "init_from": None, "teacher": None, "teacher_items": 0, "seeds": 1}
    path.write_text(yaml.safe_dump({"seed_everything": 3, **options}))
    assert read_settings(str(path)) == {"seed_everything": 3}
    for key in options:
        path.write_text(yaml.safe_dump({"seed_everything": 3, **options, key: 7}))
        with pytest.raises(UserError, match=rf"config\.yaml has {key}: 7, which trials do not follow; leave it out"):
            read_settings(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "is not UTF-8"),
        (b"a: [", "is no YAML"),
        (b"- 1", "holds a list and no settings"),
        (b"", "holds no settings"),
    ],
)
def test_a_file_without_settings_is_refused(tmp_path, content, message):
    """Catches a traceback for a file that is no config."""
    (tmp_path / "base.yaml").write_bytes(content)
    with pytest.raises(UserError, match=re.escape(message)):
        read_settings(str(tmp_path / "base.yaml"))
