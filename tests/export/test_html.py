"""The file of a page: its modules in one script, its security policy, its size."""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from pages import CONFIGS, FACTS
from run_command import ROOT

from mm_lightning.data.items import Items
from mm_lightning.data.splits import split_items
from mm_lightning.export.html import joined_script, page
from mm_lightning.export.payload import PAGE, page_classes
from mm_lightning.networks import MLP, Bigram
from mm_lightning.training.module import LanguageModel

MODULES = [path for path in sorted(PAGE.rglob("*.js")) if path.name != "eslint.config.js"]
DECLARATION = re.compile(r"^(?:export )?(?:async )?(?:const|let|var|class|function\*?) (\w+|.*)", re.MULTILINE)
MAX_ENTRIES = 12  # in a folder
MAX_BYTES = 200_000
HOSTILE = ["</script><img/src=x/onerror=alert(1)>", "<!--", "<script>", "{{script}}", '"', "\\", "&lt;"]


def names_of(path: Path) -> list[str]:
    """Top-level names of a module."""
    return DECLARATION.findall(path.read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes modules and returns the path of `main.js`."""

    def write(**modules: str) -> Path:
        for name, text in modules.items():
            (tmp_path / f"{name}.js").write_text(text, encoding="utf-8")
        return tmp_path / "main.js"

    return write


def test_modules_are_joined_behind_what_they_import(folder: Callable[..., Path]):
    """Catches a module that is twice in the script, or before the constants that it uses."""
    main = folder(
        main='import { a } from "./a.js";\nimport { b } from "./b.js";\n\n  start(a, b);\n',
        a='import { b } from "./b.js";\nexport const a = b;\n',
        b="// why\nexport function b() {\n  return 1;\n}\n/* two\n   lines */\nexport class B {}\n",
    )
    assert joined_script(main).splitlines() == [
        *["function b(){", "return 1;", "}", "class B{}", "const a=b;", "start(a,b);"]
    ]


def test_text_of_several_lines_is_kept(folder: Callable[..., Path]):
    """Catches indentation and lines that are text, and are taken for layout."""
    main = folder(main="const a = `x\n  // y\n\n  z`;\n  const b = `one`;\n")
    assert joined_script(main) == "const a = `x\n  // y\n\n  z`;\nconst b = `one`;\n"


def test_unused_modules_are_left_out(folder: Callable[..., Path]):
    """Catches a page that grows with every network that there is."""
    main = folder(
        main='import { A } from "./a.js";\nimport { B, C } from "./b.js";\nconst ALL = {\n  A,\n  B,\n  C,\n};\n',
        a="export class A {}\n",
        b="export class B {}\nexport class C {}\n",
    )
    assert joined_script(main, {"A", "B"}) == "class B{}\nclass C{}\nconst ALL={\nC,\n};\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("for (const [a, b] of c) {  // why", "for(const[a,b]of c){"),
        ("x = a + +b - -c;", "x=a + +b - -c;"),
        ("x = a ? [1] : (b ?? !c) % 2;", "x=a?[1]:(b??!c)%2;"),
        ('x = "a  // b : c";', 'x = "a  // b : c";'),
        ("x = a.split(/ = /u); // a list", "x = a.split(/ = /u);"),
        ("x = `a : ${b}`;", "x = `a : ${b}`;"),
    ],
)
def test_lines_are_shortened_outside_of_text(line: str, expected: str, folder: Callable[..., Path]):
    """Catches a space that is removed from a text, a regular expression, or between two plus signs."""
    assert joined_script(folder(main=f"{line}\n")) == f"{expected}\n"


@pytest.mark.parametrize(
    "line",
    [
        *['import a from "./a.js";', 'import * as a from "./a.js";', 'import { a as b } from "./a.js";'],
        *['import "./a.js";', "import { a } from './a.js';", 'import { a } from "a";', '  import { a } from "./a.js";'],
        *['const a = await import("./a.js");', "import.meta.url;", "export default 1;", "export { a };"],
        *['export * from "./a.js";', "export let a = 1;", "export const { a } = b;", "  export const a = 1;"],
        *["const a = '</script>';", "const a = '<!--';"],
    ],
)
def test_other_forms_are_refused(line: str, folder: Callable[..., Path]):
    """Catches an import that is lost on the way, and text that ends the script."""
    main = folder(main=f"const before = 1;\n{line}\n", a="export const a = 1;\n")
    with pytest.raises(ValueError, match=r"main.js, line 2: html.py does not join"):
        joined_script(main)


def test_top_level_names_are_unique():
    """Catches two modules that cannot stand in one script."""
    counts = Counter(name for path in MODULES for name in names_of(path))
    assert [name for name, count in counts.items() if count > 1] == []
    assert all(name.isidentifier() for name in counts)


def test_top_level_names_are_not_those_of_the_browser(browser):
    """Catches a function that replaces the browser's own of the same name."""
    names = [name for path in MODULES for name in names_of(path)]
    blank = browser.new_page()
    assert blank.evaluate("names => names.filter((name) => name in window)", names) == []
    blank.close()


def test_folders_are_small():
    """Catches a folder of the page in which nobody finds anything."""
    for folder in {path.parent for path in MODULES}:
        assert len(list(folder.iterdir())) <= MAX_ENTRIES, folder


def model_of(make: Callable, alphabet: str | list[str]) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(alphabet, make, partial(torch.optim.SGD, lr=0.1)).eval()


def test_the_policy_allows_this_script_and_style_alone():
    """Catches a page that may ask the network, run text of an item, or does not run at all."""
    html = page(model_of(Bigram, "ab"), FACTS, None)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_the_script_has_every_class_of_networks():
    """Catches a class whose module the page leaves out by its name."""
    for name in page_classes():
        script = joined_script(PAGE / "main.js", set(page_classes()) - {name})
        assert re.search(rf"^class {name}\b", script, re.MULTILINE)


def test_tokens_cannot_leave_the_payload(open_page: Callable):
    """Catches tokens that end the script or are put into it, and a page with an address in it."""
    html = page(model_of(Bigram, ["<unk>", *HOSTILE]), FACTS, Items.from_strings(HOSTILE))
    assert html.count("</script") == 2
    assert "<img" not in html
    assert "http" not in html.replace("http-equiv", "")
    opened = open_page(html)
    tokens = "openModel(document.getElementById('model').textContent).vocabularyDescription.tokens"
    assert opened.evaluate(tokens) == [None, "<unk>", *HOSTILE]


def test_the_page_of_the_lectures_mlp_is_small():
    """Catches a page above 200 KB, which mail and chats carry less gladly."""
    assert ROOT / "configs/mlp.yaml" in CONFIGS
    items = Items.from_strings((ROOT / "data/names.txt").read_text(encoding="utf-8").splitlines())
    model = model_of(partial(MLP, block_size=3, embed_dim=10, hidden_dim=200), items.alphabet())
    html = page(model, FACTS, split_items(items, "lecture", "names.txt").train)
    assert len(html.encode()) < MAX_BYTES
