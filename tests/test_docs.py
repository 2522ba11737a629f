"""The README and the pages of docs/: their links, the files and recipes they name, the set-up commands."""

import re
from pathlib import Path

import pytest
from run_command import ROOT

from mm_lightning.commands.catalogue import COMMANDS

README = ROOT / "README.md"
PAGES = [README, ROOT / "data/README.md", *sorted((ROOT / "docs").glob("*.md"))]
MAX_README_LINES = 120
SET_UP = (
    "pip install uv && uv run python -m mm_lightning fit --config configs/mlp.yaml",
    "pip install uv && uv run pytest",
)


@pytest.fixture(params=PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Path:
    return request.param  # type: ignore[no-any-return]


def without_blocks(page: Path) -> str:
    """Text of a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def shown_files(page: Path) -> set[str]:
    """Files that the blocks of a page create or change, see test_extending.py."""
    return set(re.findall(r"^```\w+ (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE))


def commands_on(page: Path) -> list[list[str]]:
    """Arguments of each command of this package in the console blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [line.split() for line in re.findall(r"^\$ .*?(?:python -m mm_lightning|\bmm) (.*)$", text, re.MULTILINE)]


def test_links_lead_to_files(page: Path):
    """Catches a link to a page or picture that was moved or renamed."""
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", without_blocks(page))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_named_recipes_exist(page: Path):
    """Catches a page that names a recipe which was renamed or removed."""
    names = re.findall(r"(?<![\w/])configs/[a-z0-9_/]+\.yaml", page.read_text(encoding="utf-8"))
    assert [name for name in {*names} - shown_files(page) if not (ROOT / name).is_file()] == []


def test_named_files_of_the_package_exist(page: Path):
    """Catches a page that sends its reader to a file or folder which was moved."""
    names = re.findall(r"`((?:mm_lightning|benchmarks|docs|tests)/[\w./]*)`", without_blocks(page))
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_commands_exist(page: Path):
    """Catches a command in a console block that the application does not have."""
    new = {Path(file).stem for file in shown_files(page) if file.startswith("mm_lightning/commands/")}
    assert {args[0] for args in commands_on(page)} <= {*COMMANDS} | new


def test_readme_is_short_and_starts_with_set_up():
    """Catches a README that grows past two screens, or set-up commands that a newcomer does not find."""
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_README_LINES
    assert all(f"$ {command}\n" in text for command in SET_UP)


def test_readme_lists_every_command():
    """Catches a new command that no reader of the README learns of."""
    text = README.read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"`{name} " not in text] == []


def test_readme_maps_every_folder():
    """Catches a new folder of the package that the README's map leaves out."""
    folders = {path.parent.name for path in (ROOT / "mm_lightning").glob("*/__init__.py")}
    rows = re.findall(r"^\| (`\w+/`.*?) \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    mapped = {folder for row in rows for folder in re.findall(r"`(\w+)/`", row)}
    assert mapped == folders


def test_readme_lists_every_recipe():
    """Catches a new recipe that the table of models leaves out."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name.strip("` ") for row in rows for name in row.split(",")}
    assert {path.stem for path in (ROOT / "configs").glob("*.yaml")} <= listed
