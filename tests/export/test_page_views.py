"""The four views of the page, opened in Chromium, against the engine in Python."""

from pathlib import Path

import pytest
import torch
from page_models import counted, mlp, page_of, predicted

from mm_lightning.data.items import Items
from mm_lightning.evaluation.loss import score, score_by_label
from mm_lightning.networks.parts.label_view import LabelView

MODEL = mlp("abcdefgh")
LABELLED = mlp("abcdefgh", labels={"F": 3, "M": 1})


@pytest.fixture(scope="module")
def html() -> str:
    return page_of(MODEL, seen=predicted(MODEL, 20)[:10])


def go(page, address: str) -> None:
    """Show another state, as a link does."""
    page.evaluate("address => { location.hash = address; }", address)


def items_of(page, count: int) -> list[str]:
    page.locator("#make-items li").nth(count - 1).wait_for()
    return page.locator("#make-items b").all_text_contents()


def expect_items(page, expected: list[str]) -> None:
    """Assert that the page comes to show these items."""
    page.wait_for_function(
        """expected => {
          const shown = [...document.querySelectorAll("#make-items b")].map((item) => item.textContent);
          return JSON.stringify(shown) === JSON.stringify(expected);
        }""",
        arg=expected,
    )


def sentence(page, selector: str, start: str) -> str:
    """Text of an element, once the text begins so."""
    page.wait_for_function(
        "([selector, start]) => document.querySelector(selector).textContent.startsWith(start)", arg=[selector, start]
    )
    return page.locator(selector).text_content()


def test_make_shows_the_items_of_predict_and_more_of_them(open_page, html: str):
    """Catches a page whose items, or whose further items, are not those of `predict`."""
    page = open_page(html)
    expect_items(page, predicted(MODEL, 20))
    page.click("#make-more")
    expect_items(page, predicted(MODEL, 40))
    page.click("#make-new")
    expect_items(page, predicted(MODEL, 20, seed=43))
    assert page.input_value("[name=seed]") == "43"


def test_settings_shape_the_items(open_page, html: str):
    """Catches a field of the form that has no effect, or not that of the option of the same name."""
    page = open_page(html)
    items_of(page, 20)
    page.fill("[name=prefix]", "b")
    page.fill("[name=suffix]", "a")
    page.fill("[name=contains]", "cc")
    page.fill("[name=minLength]", "4")
    page.fill("[name=maxLength]", "9")
    page.fill("[name=seed]", "7")
    options = {"prefix": "b", "suffix": "a", "contains": "cc", "min_length": 4, "max_length": 9, "seed": 7}
    expect_items(page, predicted(MODEL, 20, **options))
    assert sentence(page, "#make-conditions", "Conditions").startswith("Conditions are exact")
    page.click("#reset")
    page.fill("[name=topK]", "3")
    page.fill("[name=topP]", "0.9")
    page.locator("[name=temperature]").fill("0.5")
    expect_items(page, predicted(MODEL, 20, top_k=3, top_p=0.9, temperature=0.5))
    assert page.locator("#make-conditions").text_content() == ""


def test_items_are_marked_new_or_in_the_list(open_page, html: str):
    """Catches marks on the wrong items, and an error rate that is not stated."""
    page = open_page(html)
    texts = items_of(page, 20)
    marks = page.locator("#make-items i").all_text_contents()
    seen = set(texts[:10])
    assert {mark for text, mark in zip(texts, marks, strict=True) if text in seen} == {"in the list"}
    assert [mark for text, mark in zip(texts, marks, strict=True) if text not in seen].count("new") >= 5
    assert "%" in sentence(page, "#make-seen", "“New” means")
    assert "was not at hand" in sentence(open_page(page_of(MODEL)), "#make-seen", "The training list")


def test_items_are_downloaded_and_copied(open_page, html: str):
    """Catches a download or copy that is not the list shown."""
    page = open_page(html)
    text = "".join(f"{item}\n" for item in items_of(page, 20))
    with page.expect_download() as download:
        page.click("#make-download")
    assert download.value.suggested_filename == "names.txt"
    assert Path(download.value.path()).read_text(encoding="utf-8") == text
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#make-copy")
    assert sentence(page, "#make-status", "Copied") == "Copied 20 items."
    assert page.evaluate("navigator.clipboard.readText()") == text


def test_an_item_is_a_link_to_its_score_and_its_steps(open_page, html: str):
    """Catches links that lose the item, and a way back that does not lead back."""
    page = open_page(html)
    item = items_of(page, 20)[3]
    page.get_by_role("link", name=item, exact=True).first.click()
    assert page.input_value("#score-item") == item
    page.go_back()
    assert items_of(page, 20)[3] == item
    page.get_by_role("link", name=f"steps: {item}").first.click()
    assert page.input_value("#step-item") == item


def bars(page) -> dict[str, str]:
    rows = page.locator("#step-bars li:not([hidden])").all()
    return {row.locator(".token, .edge").text_content(): row.locator(".value").text_content() for row in rows}


def test_steps_show_the_probabilities_and_take_a_token(open_page, html: str):
    """Catches bars of another context, a click that takes another token, and an undo that takes more than one."""
    page = open_page(html)
    go(page, "#tab=step&item=ab")
    with torch.no_grad():
        expected = MODEL.network.next_logits(torch.tensor([[0, 1, 2]])).softmax(1)[0]
    shown = bars(page)
    assert [float(text.rstrip("%")) for text in shown.values()] == pytest.approx(
        (100 * expected).sort(descending=True).values.tolist(), abs=0.06
    )
    assert next(iter(shown)) == MODEL.vocabulary.symbols()[int(expected.argmax())].replace(".", "end")
    assert page.locator("#step-context li").all_text_contents() == ["start", "a", "b"]
    page.click("#step-bars .bar:has-text('c')")
    assert page.input_value("#step-item") == "abc"
    assert page.locator("#step-context li").all_text_contents() == ["a", "b", "c"]
    page.evaluate("window.random = Math.random; Math.random = () => 0.9999")  # the last token, which is not the end
    page.click("#step-chance")
    assert page.input_value("#step-item") == "abch"
    page.evaluate("Math.random = window.random")
    page.click("#step-finish")
    assert sentence(page, "#step-status", "The item has ended").endswith("in the training list.")
    assert page.is_disabled("#step-chance")
    page.click("#step-undo")
    assert page.is_enabled("#step-chance")
    page.click("#step-restart")
    assert page.input_value("#step-item") == ""
    go(page, "#tab=step&item=ab&topK=1")
    assert list(bars(page).values()) == ["100.0%"]


def test_tanh_units_light_up(open_page, html: str):
    """Catches a picture that does not follow the context, and one of a network without such units."""
    page = open_page(html)
    go(page, "#tab=step&item=ab")
    with torch.no_grad():
        hidden = MODEL.network.hidden(MODEL.network.embedding(torch.tensor([[0, 1, 2]])).flatten(1))[0]
    counts = int((hidden > 0.5).sum()), int((hidden < -0.5).sum())
    text = page.locator("#step-units-note").text_content()
    assert text.startswith("30 hidden units")
    assert f"{counts[0]} are above 0.5 (warm), {counts[1]} below" in text
    assert page.locator("#step-units").get_attribute("aria-label") == text
    before = page.evaluate("document.getElementById('step-units').toDataURL()")
    go(page, "#tab=step&item=abc")
    page.wait_for_function("before => document.getElementById('step-units').toDataURL() !== before", arg=before)
    bigrams = open_page(page_of(counted(["ab"], 1, 1.0)))
    go(bigrams, "#tab=step")
    bigrams.locator("#step-bars").wait_for()
    assert bigrams.is_hidden("#step-inside")


def test_scores_are_those_of_score(open_page, html: str):
    """Catches a sum without the end, a letter's surprise beside another letter, and a colour that says nothing."""
    page = open_page(html)
    go(page, "#tab=score&item=badge")
    [expected] = score(MODEL.network, MODEL.vocabulary, Items.from_strings(["badge"])).tolist()
    assert sentence(page, "#score-total", f"{expected:.2f} nats in total, {expected / 6:.2f} per letter")
    cells = page.locator("#score-tokens li")
    assert cells.locator(".token, .edge").all_text_contents() == [*"badge", "end"]
    nll = [float(text) for text in cells.locator("small:first-of-type").all_text_contents()]
    assert sum(nll) == pytest.approx(expected, abs=0.03)
    parts = [float(cell.evaluate("cell => parseFloat(cell.style.getPropertyValue('--part'))")) for cell in cells.all()]
    assert parts == pytest.approx([min(1, value / 6) * 85 for value in nll], abs=0.1)


def test_a_strange_character_is_one_sentence(open_page, html: str):
    """Catches a stack trace, or an old score left beside another item, for a character outside the alphabet."""
    page = open_page(html)
    for tab in "score", "step":
        go(page, f"#tab={tab}&item=ab")
        page.fill(f"#{tab}-item", "abŷ")
        assert "“ŷ”" in page.get_by_role("alert").text_content()
        assert page.locator("#score-tokens li:visible, #step-bars li:visible").count() == 0
        page.fill(f"#{tab}-item", "ab")
        assert page.get_by_role("alert").text_content() == ""
    go(page, "#tab=make&temperature=warm")
    assert "temperature" in page.get_by_role("alert").text_content()
    go(page, "#tab=make&prefix=xyz")
    page.wait_for_function("() => document.getElementById('error').textContent.includes('x')")


def test_labels_are_chosen_shown_and_told_apart(open_page):
    """Catches items of another label, and a label's probability that is not that of the counts and scores."""
    page = open_page(page_of(LABELLED))
    expect_items(page, predicted(LABELLED, 20))
    assert set(page.locator("#make-items i").all_text_contents()) == {"F", "M"}
    page.select_option("[name=label]", "M")
    expect_items(page, predicted(LABELLED, 20, label="M"))
    go(page, "#tab=score&item=badge")
    assert sentence(page, "#score-labels", "Label of such an item: ").count("%") == 2


def test_the_label_of_an_item_leaves_the_list_as_it_is(open_page):
    """Catches a click on an item that changes the setting of Make, and a label that an item typed by hand keeps."""
    page = open_page(page_of(LABELLED))
    items = predicted(LABELLED, 20)
    expect_items(page, items)
    row = page.locator("#make-items li").filter(has=page.locator("i", has_text="M")).first
    item = row.locator("b").text_content()
    row.get_by_role("link", name=item, exact=True).click()
    by_label = score_by_label(LABELLED.network, LABELLED.vocabulary, Items.from_strings([item]), 2)
    assert f"{by_label[0, 1]:.2f} nats in total" in sentence(page, "#score-total", f"{by_label[0, 1]:.2f}")
    assert page.input_value("[name=label]") == "M"
    assert sentence(page, "#score-labels", "Label of such an item: ").count("%") == 2
    page.fill("#score-item", f"{item}a")
    assert page.input_value("[name=label]") == ""
    page.click("nav [data-tab=make]")
    expect_items(page, items)
    assert page.input_value("[name=label]") == ""
    row.get_by_role("link", name=f"steps: {item}").click()
    view = LabelView(LABELLED.network, len(LABELLED.vocabulary), 1)
    with torch.no_grad():
        ids = torch.tensor([[0, *LABELLED.vocabulary.encode_item(item)]])
        expected = float(view.next_logits(ids).softmax(1).max())
    assert max(float(text.rstrip("%")) for text in bars(page).values()) == pytest.approx(100 * expected, abs=0.06)


def test_a_token_that_is_not_drawn_is_told(open_page):
    """Catches a view See that breaks for the tokens of a large vocabulary beyond those that have a point."""
    page = open_page(page_of(mlp("".join(map(chr, range(0x4E00, 0x4E00 + 1100))), embed_dim=2)))
    go(page, "#tab=see&token=1050")
    token = chr(0x4E00 + 1049)
    assert sentence(page, "#embedding-near", token) == f"{token} is not among the first 1,000, which are drawn."
    assert page.get_by_role("alert").text_content() == ""
    page.select_option("#see-token", "7")
    assert sentence(page, "#embedding-near", "Nearest to ").count(", ") == 4


def test_long_work_leaves_the_page_to_others_and_ends_for_newer_work(open_page, html: str):
    """Catches a search without an end that holds the page, or that goes on behind the work that took its place."""
    results = open_page(html).evaluate("""async () => {
      const job = new Job();
      let numSteps = 0;
      function* search() { for (;;) { numSteps += 1; yield null; } }
      const first = job.run(search(), () => false, () => {});
      await new Promise((done) => setTimeout(done, 60)); // other work has its turn
      const found = [];
      const second = job.run([1, null, 2, 3][Symbol.iterator](), (taken) => found.length + taken === 2,
        (values) => found.push(...values));
      const ends = [await first, await second];
      const before = numSteps;
      await new Promise((done) => setTimeout(done, 60));
      return [...ends, found, before > 0, numSteps - before];
    }""")
    assert results == [False, True, [1, 2], True, 0]
