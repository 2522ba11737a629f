"""The page by its address, by keyboard, on a phone, in the dark; and the drawings of the view See."""

from dataclasses import replace

import pytest
import torch
from page_models import FACTS, counted, mlp, page_of, predicted

MODEL = mlp("abcdefgh")
TABS = ("make", "step", "score", "see")

CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const over = (below, colour) => {  // colour, which may be translucent, painted on another
    canvas.fillStyle = `rgb(${below.join()})`;
    canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const luminance = (rgb) => {
    const linear = (value) => (value <= 10 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backdrop = (node) => {
    const below = node.parentElement ? backdrop(node.parentElement) : [255, 255, 255];
    return over(below, getComputedStyle(node).backgroundColor);
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const isField = node.matches("input:not([type=range]), select");
    const hasText = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!(isField || hasText) || !node.checkVisibility() || node.matches("option, script, :disabled")) continue;
    const below = backdrop(node);
    const [a, b] = [over(below, getComputedStyle(node).color), below].map(luminance).sort((x, y) => y - x);
    found.push([`${node.tagName}.${node.className}: ${node.textContent.slice(0, 30)}`, (a + 0.05) / (b + 0.05)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def html() -> str:
    return page_of(MODEL, seen=predicted(MODEL, 20)[:10])


def show(page, tab: str, item: str = "badge") -> None:
    page.evaluate("([tab, item]) => { location.hash = new URLSearchParams({ tab, item }); }", [tab, item])
    page.locator(f"#{tab}").wait_for()
    if tab == "see":
        page.wait_for_function("() => document.getElementById('bigrams-note').textContent !== ''")
    if tab == "make":
        page.locator("#make-items li").nth(19).wait_for()


def test_the_address_keeps_what_one_saw(open_page, html: str):
    """Catches a setting that a link or a reload loses."""
    page = open_page(html)
    page.fill("[name=prefix]", "ab")
    page.locator("[name=temperature]").fill("0.5")
    page.fill("[name=seed]", "7")
    page.wait_for_function("() => location.hash.includes('seed=7')")
    page.click("#make-more")
    page.locator("#make-items li").nth(39).wait_for()
    items = page.locator("#make-items b").all_text_contents()
    assert items == predicted(MODEL, 40, prefix="ab", temperature=0.5, seed=7)
    page.reload()
    page.locator("#make-items li").nth(39).wait_for()
    assert page.locator("#make-items b").all_text_contents() == items
    assert page.input_value("[name=prefix]") == "ab"
    page.get_by_role("link", name="Step through", exact=True).click()
    page.fill("#step-item", "ca")
    page.click("#step-bars .bar:has-text('b')")
    page.reload()
    assert page.input_value("#step-item") == "cab"
    assert page.locator("nav [aria-current=page]").text_content() == "Step through"
    page.go_back()
    page.locator("#make-items li").nth(39).wait_for()
    assert page.locator("#make-items b").all_text_contents() == items


def test_the_keyboard_is_enough(open_page, html: str):
    """Catches a control that only a mouse reaches, and a focus that is lost or cannot be seen."""
    page = open_page(html)
    show(page, "make")

    def press_until(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
                return
        pytest.fail(f"no Tab leads to {selector}")

    press_until("#skip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    press_until("#make-more")
    page.keyboard.press("Enter")
    page.locator("#make-items li").nth(39).wait_for()
    page.reload()
    press_until("nav a[data-tab=step]")
    page.keyboard.press("Enter")
    press_until("#step-item")
    page.keyboard.type("ab")
    press_until("#step-bars .bar")
    first = page.locator("#step-bars .token, #step-bars .edge").first.text_content()
    page.keyboard.press("Enter")
    assert page.input_value("#step-item") == ("ab" if first == "end" else f"ab{first}")
    assert page.evaluate("document.activeElement.className") == ("" if first == "end" else "bar")
    press_until("#step-finish, #step-undo")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id").startswith("step-")


@pytest.mark.parametrize("colour_scheme", ["light", "dark"])
def test_text_is_legible(open_page, html: str, colour_scheme: str):
    """Catches a contrast below 4.5 (WCAG 2.2, level AA), on the deepest colour of the scores too."""
    page = open_page(html, color_scheme=colour_scheme, reduced_motion="reduce")
    for tab in TABS:
        show(page, tab)
        found = dict(page.evaluate(CONTRASTS))
        assert len(found) > 10
        assert {text: contrast for text, contrast in found.items() if contrast < 4.5} == {}


def test_a_phone_scrolls_in_one_direction(open_page):
    """Catches a row, a picture or a long item that is wider than a screen of 320 pixels."""
    long_item = "abcdefgh" * 12
    page = open_page(page_of(counted([long_item, "abc"], 3)), viewport={"width": 320, "height": 640})
    for tab in TABS:
        show(page, tab, long_item)
        page.locator("summary").first.click() if tab == "make" else None
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, tab


def test_nothing_moves_where_motion_is_unwanted(open_page, html: str):
    """Catches an animation that ignores the system's setting."""
    for motion, expected in ("reduce", "none"), ("no-preference", "appear"):
        page = open_page(html, reduced_motion=motion)
        show(page, "make")
        assert page.locator("#make-items li").first.evaluate("row => getComputedStyle(row).animationName") == expected


def test_the_embedding_is_drawn_by_its_main_components(open_page, html: str):
    """Catches components that are not those of torch, wrong neighbours, and an empty picture."""
    page = open_page(html)
    show(page, "see")
    rows = MODEL.network.embedding.weight.detach()
    sizes = torch.linalg.svdvals(rows - rows.mean(0)).square()
    share = 100 * float(sizes[:2].sum() / sizes.sum())
    assert f"{share:.1f}% of their variance" in page.locator("#embedding-note").text_content()
    nearest = torch.cdist(rows, rows)[1].argsort()[1:6].tolist()
    names = ["start", *"abcdefgh"]
    expected = f"Nearest to a: {', '.join(names[i] for i in nearest)}"
    assert page.locator("#embedding-near").text_content() == expected
    assert page.locator("#embedding").get_attribute("aria-label").endswith(expected)
    before = page.evaluate("document.getElementById('embedding').toDataURL()")
    page.select_option("#see-token", "3")
    assert page.locator("#embedding-near").text_content().startswith("Nearest to c: ")
    assert page.evaluate("document.getElementById('embedding').toDataURL()") != before
    assert page.locator("#facts").text_content().count("names.txt") == 1
    assert "2.2500" in page.locator("#losses").text_content()


def test_the_heat_map_of_bigrams_is_the_networks_table(open_page):
    """Catches rows of the heat map that are not the model's distribution after a token."""
    model = counted(["abc", "abd", "ace", "bad"], 1, 0.1)
    page = open_page(page_of(model))
    show(page, "see")
    page.wait_for_function("() => document.getElementById('bigrams-next').textContent.startsWith('After a: ')")
    with torch.no_grad():
        expected = model.network.next_logits(torch.tensor([[0, 1]])).softmax(1)[0]
    best = int(expected.argmax())
    name = ["end", *model.vocabulary.alphabet][best]
    text = page.locator("#bigrams-next").text_content()
    assert text.startswith(f"After a: {name} {100 * float(expected[best]):.1f}%")
    assert page.is_hidden("#see-embedding")
    colours = page.evaluate("""() => {
      const canvas = document.getElementById("bigrams");
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return new Set(Array.from({ length: data.length / 4 }, (_, i) => data.slice(4 * i, 4 * i + 4).join())).size;
    }""")
    assert colours > 10


def test_unknown_facts_are_left_out(open_page):
    """Catches a page that fails, or shows null, where the data were not at hand."""
    facts = replace(FACTS, data_hash=None, num_lines=None, losses={}, versions={}, notes=[], config="")
    page = open_page(page_of(MODEL, None, facts))
    show(page, "see")
    text = page.locator("body").inner_text()
    assert "null" not in text and "undefined" not in text and "NaN" not in text
    assert page.is_hidden("#losses")
