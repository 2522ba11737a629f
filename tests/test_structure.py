"""The order of floors: every module imports only from below."""

import ast
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
FLOORS = [  # lowest first; what stands on one line is peers, and neither imports the other
    ["commands", "files", "lines", "shipped", "runs", "checkpoint", "plots", "quiet"],
    ["words", "lr_range"],
    ["vocabulary", "nearest"],
    ["encoding", "networks", "report", "quality", "precedence"],
    ["batches", "sampling"],
    ["scoring"],
    ["updates", "optimization"],
    ["compiled"],
    ["execution"],
    ["datamodule", "module"],
    ["callbacks", "run_trainer", "quality_table", "lr_find", "diagnostics"],
    ["pictures"],
    ["trainer"],
    ["cli"],
    ["sweep"],
    ["__main__"],
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
LIGHT = [
    "commands",
    "files",
    "lines",
    "vocabulary",
    "words",
    "shipped",
    "runs",
    "report",
    "nearest",
    "quality",
    "lr_range",
    "sweep.command",
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
def test_a_module_imports_only_from_below(module: str):
    """A shortcut upwards, which sooner or later closes a cycle."""
    assert family(module) in FLOOR, f"{module} has no floor: give it one in FLOORS"
    for other in imports_of(module):
        assert other in FILES, f"{module} imports {other}, which is not there"
        below = FLOOR[family(other)] < FLOOR[family(module)]
        assert below or family(other) == family(module), f"{module} imports {other}, which is not below it"


@modules(lambda module: family(module) == "networks")
def test_networks_know_only_the_vocabulary(module: str):
    """A network that cannot be used, exported or tested without the application."""
    assert {family(other) for other in imports_of(module)} <= {"networks", "vocabulary"}
    assert not re.search(r"^\s*(import|from) (pytorch_)?lightning", FILES[module].read_text(encoding="utf-8"), re.M)


@modules(lambda module: FILES[module].stem == "__init__")
def test_an_init_file_only_hands_names_on(module: str):
    """Work done, or a side effect, at the import of a package."""
    statements = ast.parse(FILES[module].read_text(encoding="utf-8")).body
    rest = statements[1:] if ast.get_docstring(ast.Module(statements, [])) else statements
    assert all(isinstance(node, ast.Import | ast.ImportFrom | ast.Assign) for node in rest)
    assigned = [ast.unparse(t) for node in rest if isinstance(node, ast.Assign) for t in node.targets]
    assert set(assigned) <= {"__all__"}


def test_imports_are_found():
    """Laws that hold because no import is seen."""
    assert imports_of("encoding") == {"vocabulary", "words"}
    assert {"checkpoint", "datamodule", "callbacks", "run_trainer"} <= imports_of("trainer")
    assert "networks.mlp" in imports_of("networks")
    assert set(FLOOR) <= {family(module) for module in FILES}, "FLOORS names a module that is gone"


def test_there_are_no_cycles():
    """Modules of one package that need each other."""
    try:
        order = list(TopologicalSorter({module: imports_of(module) for module in FILES}).static_order())
    except CycleError as error:
        pytest.fail(f"cycle: {' -> '.join(error.args[1])}")
    assert set(order) == set(FILES)


def output_of(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_light_modules_do_not_import_torch():
    """Seconds of start-up for a command that trains nothing."""
    imports = ", ".join(f"mm_lightning.{name}" for name in LIGHT)
    assert output_of(f"import sys, {imports}; print([m for m in ('torch', 'lightning') if m in sys.modules])") == "[]\n"


@pytest.mark.parametrize("command", [["--help"], ["report"], ["report", "--help"]])
def test_the_light_commands_do_not_import_torch(command: list[str]):
    """A command that asks for the others' modules on its way."""
    code = f"""
import contextlib, sys
from mm_lightning.__main__ import main
sys.argv[1:] = {command}
with contextlib.suppress(SystemExit):
    main()
print([m for m in ("torch", "lightning") if m in sys.modules])"""
    assert len(lines := output_of(code).splitlines()) > 5
    assert lines[-1] == "[]"


def test_the_command_line_imports_little_beyond_lightning():
    """Start-up paid by every command for a package that one of them uses, such as tensorboard."""
    code = """
import sys
import lightning.pytorch.cli
before = set(sys.modules)
import mm_lightning.cli
print(*set(sys.modules) - before)"""
    added = set(output_of(code).split())
    assert not {name for name in added if name.startswith(("torch.utils.tensorboard", "torch._inductor", "torch.onnx"))}
    assert "mm_lightning.cli" in added
    assert {name.partition(".")[0] for name in added} - sys.stdlib_module_names <= {"mm_lightning", "filelock"}
