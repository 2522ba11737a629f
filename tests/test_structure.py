"""The structure of the package: the order of its folders, their size, and what starts without torch."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import mm_lightning

PACKAGE = Path(mm_lightning.__file__).parent
LAYERS = [  # lowest first; a folder imports only from those above it in this list
    "files",
    "plots",
    "data",
    "networks",
    "evaluation",
    "sampling",
    "training",
    "export",
    "commands",
    "cli",
    "make",
    "sweep",
    "compare",
    "mix",
    "api",
    "__main__",
]
MAX_ENTRIES = 12  # in a folder
MAX_LINES = 250  # of a file
LAYER = {name: number for number, name in enumerate(LAYERS)}
LIGHT = [
    "files",
    "data.files.text",
    "data.items",
    "data.ranges",
    "data.files.reading",
    "data.splits",
    "data.vocabulary",
    "evaluation.comparison",
    "evaluation.data_report",
    "evaluation.nearest",
    "evaluation.quality",
    "evaluation.lr_range",
    "cli.options.arguments",
    "cli.options.refusals",
    "cli.start",
    "commands.catalogue",
    "commands.parts.errors",
    "commands.parts.library_warnings",
    "commands.parts.parsing.config_files",
    "commands.parts.parsing.parser",
    "commands.parts.parsing.wording",
    "commands.parts.roles",
    "commands.report",
    "commands.score",
    "evaluation.text_table",
    "sampling.options",
    "training.run_folders",
    "make.command",
    "make.recipe",
    "sweep.command",
    "compare.command",
    "compare.spread",
    "mix.command",
    "__main__",
]


def name_of(path: Path) -> str:
    """Dotted name of a file below the package; a package has that of its `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__"}


def family(module: str) -> str:
    return module.partition(".")[0]


def modules(wanted: Callable[[str], bool] = lambda module: True) -> pytest.MarkDecorator:
    """Run a test for each of these modules."""
    return pytest.mark.parametrize("module", sorted(filter(wanted, FILES)))


@cache
def imports_of(module: str) -> frozenset[str]:
    """Modules of this package that a module names in any import statement, within functions too."""
    result = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import in line {node.lineno}"
            dotted = {f"{node.module}.{alias.name}" for alias in node.names}
            found = {name for name in dotted if name.removeprefix("mm_lightning.") in FILES}
            result |= found if len(found) == len(dotted) else {*found, str(node.module)}
    return frozenset(name.removeprefix("mm_lightning.") for name in result if name.startswith("mm_lightning."))


@modules()
def test_a_module_imports_only_from_lower_layers(module: str):
    """Catches an import upwards, which sooner or later closes a cycle."""
    assert family(module) in LAYER, f"{module} has no layer: give it one in LAYERS"
    for other in imports_of(module):
        assert other in FILES, f"{module} imports {other}, which is not there"
        is_lower = LAYER[family(other)] < LAYER[family(module)]
        assert is_lower or family(other) == family(module), f"{module} imports {other}, which is in a higher layer"


@modules(lambda module: family(module) == "networks")
def test_networks_know_only_the_vocabulary_and_ranges(module: str):
    """Catches a network that cannot be used, exported or tested without the application."""
    others = {other for other in imports_of(module) if family(other) != "networks"}
    assert others <= {"data.vocabulary", "data.ranges"}
    assert not re.search(r"^\s*(import|from) (pytorch_)?lightning", FILES[module].read_text(encoding="utf-8"), re.M)


def test_folders_and_files_are_small():
    """Catches a folder or a file that has grown until nobody finds anything in it."""
    assert {path.stem for path in entries(PACKAGE)} == {
        *LAYERS,
        "__init__",
        "py",
    }  # py.typed: the types are part of the door
    for folder in {path.parent for path in FILES.values()} - {PACKAGE}:
        assert len(entries(folder)) <= MAX_ENTRIES, folder
    for module, path in FILES.items():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES, module


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != "__pycache__"]


@modules(lambda module: FILES[module].stem == "__init__")
def test_an_init_file_only_hands_names_on(module: str):
    """Work done, or a side effect, at the import of a package."""
    statements = ast.parse(FILES[module].read_text(encoding="utf-8")).body
    rest = statements[1:] if ast.get_docstring(ast.Module(statements, [])) else statements
    assert all(isinstance(node, ast.Import | ast.ImportFrom | ast.Assign) for node in rest)
    assigned = [ast.unparse(t) for node in rest if isinstance(node, ast.Assign) for t in node.targets]
    assert set(assigned) <= {"__all__"}


def test_imports_are_found():
    """Catches laws that hold because no import is seen."""
    assert imports_of("data.encoding") == {"data.vocabulary", "data.items"}
    assert {"commands.fit", "training.checkpoint", "training.callbacks"} <= imports_of("cli.application")
    assert "networks.mlp" in imports_of("networks")
    assert set(LAYERS) <= {family(module) for module in FILES}, "LAYERS names a module that is gone"


def test_there_are_no_cycles():
    """Modules of one package that need each other."""
    try:
        order = list(TopologicalSorter({module: imports_of(module) for module in FILES}).static_order())
    except CycleError as error:
        pytest.fail(f"cycle: {' -> '.join(error.args[1])}")
    assert set(order) == set(FILES)


def output_of(code: str) -> str:
    """What a fresh interpreter prints."""
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout


def test_light_modules_do_not_import_torch():
    """Seconds of start-up for a command that trains nothing."""
    imports = ", ".join(f"mm_lightning.{name}" for name in LIGHT)
    assert output_of(f"import sys, {imports}; print([m for m in ('torch', 'lightning') if m in sys.modules])") == "[]\n"


def imported_by(command: list[str]) -> list[str]:
    """What a command prints on stdout and stderr, and then those of torch and Lightning that it has imported."""
    code = f"""
import contextlib, sys
sys.stderr = sys.stdout
from mm_lightning.__main__ import main
sys.argv[1:] = {command}
with contextlib.suppress(SystemExit):
    main()
print([m for m in ("torch", "torch._dynamo", "lightning") if m in sys.modules])"""
    return output_of(code).splitlines()


@pytest.mark.parametrize("command", [["--help"], ["report"], ["report", "--help"]])
def test_the_light_commands_do_not_import_torch(command: list[str]):
    """A command that asks for the others' modules on its way."""
    assert len(lines := imported_by(command)) > 5
    assert lines[-1] == "[]"


NAMES = str(PACKAGE.parent / "data/names.ckpt")


@pytest.mark.parametrize("command", [["predict", "--sampling.only_new=true"], ["score", "emma"]])
def test_sampling_and_scoring_import_no_lightning(command: list[str]):
    """Catches the first name that waits for Lightning, whose import takes longer than torch's."""
    lines = imported_by([*command, "--ckpt_path", NAMES])
    assert lines[-1] == "['torch']"
    assert len(lines) == {"predict": 20, "score": 2}[command[0]] + 1, lines


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "--ckpt_path", NAMES, "--sampling.temperature", "-1"],
        ["predict", "--ckpt_path", NAMES, "--sampling.num_samplez", "3"],
        ["predict", "--ckpt_path", NAMES, "--sampling.min_length", "9", "--sampling.max_length", "8"],
        ["predict", "--ckpt_path", NAMES, "--sampling.seed", "null"],
        ["predict", "--ckpt_path", NAMES, "--num_samples", "3"],
        ["predict", "--ckpt_path", "nosuch.ckpt"],
        ["predict", "--ckpt_path", "last"],
        ["predict"],
        ["score", "--ckpt_path", NAMES],
        ["score", "--ckpt_path", NAMES, "--input", "nosuch.txt"],
        ["score", "--ckpt_path", NAMES, "--inptu", "names.txt"],
        ["validate", "--ckpt_path", "nosuch.ckpt"],
        ["fit"],
        ["fit", "--config", "nosuch.yaml"],
        ["fit", "--config", "configs/mlp.yaml", "--init_from", "nosuch.ckpt"],
        ["fit", "--config", "configs/mlp.yaml", "--data.seed", "3"],
        ["fit", "--config", "configs/mlp.yaml", "--trainer.max_stepz", "3"],
        ["fit", "--config", "configs/mlp.yaml", "--trainer.max_steps", "three"],
        ["fit", "--config", "configs/mlp.yaml", "--data.path", "nosuch.txt"],
        ["compare", "3", "nosuch"],
        ["mix", "nosuch.ckpt", "last"],
        ["report", "--nosuch"],
        ["make", "names.txt", "--sampling.suffix", "lyn"],
    ],
    ids=" ".join,
)
def test_errors_in_arguments_come_before_torch_is_imported(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Catches a mistake in typing that is told after seconds."""
    monkeypatch.chdir(tmp_path)
    error, modules = imported_by(command)
    assert error.startswith("error: ")
    assert modules == "[]"


def test_the_command_line_imports_little_beyond_lightning():
    """Start-up paid by every command for a package that one of them uses, such as tensorboard."""
    code = """
import sys
import lightning.pytorch.cli
before = set(sys.modules)
import mm_lightning.cli.application
print(*set(sys.modules) - before)"""
    added = set(output_of(code).split())
    assert not {name for name in added if name.startswith(("torch.utils.tensorboard", "torch._inductor", "torch.onnx"))}
    assert "mm_lightning.cli" in added
    assert {name.partition(".")[0] for name in added} - sys.stdlib_module_names <= {"mm_lightning", "filelock", "numpy"}
