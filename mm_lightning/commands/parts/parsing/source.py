"""Arguments of classes and functions, read from their source: an import could take seconds, for an error."""

import ast
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def arguments(module: str, name: str) -> dict[str, str] | None:
    """Names of the arguments of a function, or of a class's constructor, and the text of each one's type.

    A constructor that takes any arguments has those of its base too.

    Args:
        module: Import path of a module.
        name: Name of a function or class that it defines or imports.

    Returns:
        The arguments; None if the source does not tell them.
    """
    found = _definition(module, name)
    if found is None:
        return None
    where, node = found
    if isinstance(node, ast.FunctionDef):
        return _typed(_parameters(node))
    constructors = [part for part in ast.walk(node) if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
    if node.decorator_list or any(each not in node.body for each in constructors):  # made otherwise, or by conditions
        return None
    base = _base(where, node)
    inherited = None if base is None else arguments(*base)
    if not constructors:
        return inherited
    result = _typed(_parameters(constructors[-1])[1:])  # without self
    if constructors[-1].args.kwarg is None:
        return result
    return None if inherited is None else inherited | result


def _parameters(node: ast.FunctionDef) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


def _typed(parameters: list[ast.arg]) -> dict[str, str]:
    return {each.arg: "Any" if each.annotation is None else ast.unparse(each.annotation) for each in parameters}


def _definition(module: str, name: str) -> tuple[str, ast.FunctionDef | ast.ClassDef] | None:
    """The module that defines what another one calls by a name, and the definition; None if it is not found."""
    for node in reversed(_statements(module)):  # the last definition counts
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _definition(node.module, alias.name)
    return None


def _base(module: str, node: ast.ClassDef) -> tuple[str, str] | None:
    """Module and name of the first base of a class; None if it has none, or none by a plain name."""
    match node.bases[:1]:
        case [ast.Name(id=name)]:
            return module, name
        case [ast.Attribute(value=ast.Name(id=alias), attr=name)]:
            imports = [each for part in _statements(module) if isinstance(part, ast.Import) for each in part.names]
            return next(((each.name, name) for each in imports if each.asname == alias), None)
    return None


@cache
def _statements(module: str) -> list[ast.stmt]:
    """The statements of a module's file, which is not imported; none if it cannot be read."""
    package, *rest = module.split(".")
    with suppress(ImportError, OSError, SyntaxError, ValueError):  # ValueError: not the name of a module
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).parent.joinpath(*rest)
            for file in (path.with_suffix(".py"), path / "__init__.py") if rest else (Path(spec.origin),):
                if file.is_file():
                    return ast.parse(file.read_bytes()).body
    return []
