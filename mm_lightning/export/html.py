"""One HTML file that shows a model, samples from it and scores with it, without a server or the network.

JavaScript modules are joined into one script, because a browser loads no modules from a file that is opened by a double
click. The content security policy allows this script and this style by their hashes, and nothing else.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path

from mm_lightning.data.items import Items
from mm_lightning.export.binary import Weights
from mm_lightning.export.facts import Facts
from mm_lightning.export.payload import PAGE, Payload, make_payload, page_classes
from mm_lightning.training.module import LanguageModel

_IMPORT = re.compile(r'import \{ (\w+(?:, \w+)*) \} from "(\.{1,2}/[\w./]+\.js)";')
_EXPORT = re.compile(r"export (?=(?:async )?(?:function\*? |class |const )\w+)")
_MODULE_SYNTAX = re.compile(r"^\s*(?:import|export)\b|\bimport\s*[(.]|</script|<!--")  # or ends the script
_QUOTES = re.compile(r"[\"'`]")
_COMMENT_BEHIND = re.compile(r"\s+// .*")
_SPACED_SIGNS = re.compile(r" ?([=*<>!&|?:,;{}()\[\]%^]+) ?")
_MARK = re.compile(r"\{\{(\w+)\}\}")


def page(model: LanguageModel, facts: Facts, seen: Items | None, weights: Weights = "float32") -> str:
    """Make the page of a model.

    Args:
        model: The model, in eval mode.
        facts: Facts about the model.
        seen: Training items, for the filter that marks new items; None if the data are not at hand.
        weights: Type in which float32 weights are stored.

    Raises:
        UserError: If the page cannot compute the network, or a weight is too large for float16.
    """
    payload = make_payload(model, facts, seen, weights)
    script = '"use strict";\n' + joined_script(PAGE / "main.js", _unused_names(model, payload))
    style = _without_layout((PAGE / "style.css").read_text(encoding="utf-8").splitlines())
    parts = {
        "policy": _policy(script, style),
        "style": style,
        "model": payload.text,
        "script": script,
    }
    template = (PAGE / "index.html").read_text(encoding="utf-8")
    return _MARK.sub(lambda mark: parts[mark[1]], template)


def _unused_names(model: LanguageModel, payload: Payload) -> set[str]:
    """Names that a page does not need: other networks, and resampling where the context is short (`strategy.js`)."""
    has_table = model.network.window_table(lambda logits: logits, len(model.vocabulary)) is not None
    return set(page_classes()) - payload.classes | ({"approximateSampler"} if has_table else set())


def _policy(script: str, style: str) -> str:
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in (script, style)]
    return (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def joined_script(entry: Path, unused: AbstractSet[str] = frozenset()) -> str:
    """Join a module and the modules that it imports, each behind those that it imports itself.

    Args:
        entry: The module.
        unused: Names to leave out: an import of these names alone, and a line that lists one of them.

    Raises:
        ValueError: If a module imports or exports in another form than one line of names.
    """
    bodies: dict[Path, str] = {}
    _join(entry.resolve(), bodies, unused)
    return "".join(bodies.values())


def _join(path: Path, bodies: dict[Path, str], unused: AbstractSet[str]) -> None:
    """Add the module and its imports to `bodies`, unless they are there; a cycle of imports is left as it is."""
    if path in bodies:
        return
    bodies[path] = ""
    lines = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if found := _IMPORT.fullmatch(line):
            if not set(found[1].split(", ")) <= unused:
                _join((path.parent / found[2]).resolve(), bodies, unused)
            continue
        if line.strip().removesuffix(",") in unused:
            continue
        statement = _EXPORT.sub("", line, count=1) if _EXPORT.match(line) else line
        if _MODULE_SYNTAX.search(statement):
            raise ValueError(f"{path.name}, line {number}: html.py does not join {line!r}")
        lines.append(statement)
    bodies.pop(path)  # behind its imports
    bodies[path] = _without_layout(lines, _shortened)


def _shortened(line: str) -> str:
    """Remove the comment behind a line of JavaScript, and spaces beside signs; no line with text in quotes is changed.

    A line with a slash may have a regular expression. Spaces beside + and - keep `a + +b` from becoming `a++b`.
    """
    code = _COMMENT_BEHIND.sub("", line) if not _QUOTES.search(line) else line
    return _SPACED_SIGNS.sub(r"\1", code) if not _QUOTES.search(code) and "/" not in code else code


def _without_layout(lines: list[str], shortened: Callable[[str], str] = str) -> str:
    """Join lines of JavaScript or CSS without comments, blank lines and indentation, each line shortened."""
    kept, is_comment, is_template = [], False, False
    for line in lines:
        text = line.strip()
        if is_template:
            kept.append(line)
        elif is_comment or text.startswith("/*"):
            is_comment = not text.endswith("*/")
            continue
        elif text and not text.startswith("//"):
            kept.append(shortened(text))
        is_template ^= line.count("`") % 2 == 1 and not text.startswith("//")
    return "\n".join([*kept, ""])
