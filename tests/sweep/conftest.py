"""Fixtures that write a sweep's files and make its plan."""

import pytest
import yaml
from sweep_cases import BASE, SPACE

from mm_lightning.sweep.options import SweepOptions
from mm_lightning.sweep.plan import Plan


@pytest.fixture
def sweep(words, tmp_path):
    """Writes search.yaml, beside its base and data; returns the command."""

    def write(space=SPACE, **options):
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
        content = {"base": "base.yaml", "space": space, "trials": 4, **options}
        (tmp_path / "search.yaml").write_text(yaml.safe_dump(content))
        return "sweep", "--config", "search.yaml"

    return write


@pytest.fixture
def plan(sweep):
    """Makes a plan of such files."""

    def make(overrides=None, space=SPACE, trials=4, **options):
        sweep()
        return Plan(SweepOptions("base.yaml", space, trials=trials, **options), overrides or {}, "search")

    return make
