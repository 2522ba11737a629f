"""Items of every script in the page; items that look like markup; and what the page must never do."""

from dataclasses import replace

import pytest
from page_models import FACTS, counted, mlp, page_of, predicted

HEBREW = ["שלום", "אברהם", "יצחק", "משה", "דוד"]
HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_hebrew_reads_from_right_to_left(open_page):
    """Catches items, contexts and scores of a right-to-left script that run from left to right."""
    model = counted(HEBREW, 2, 0.01)
    page = open_page(page_of(model))
    page.locator("#make-items li").nth(19).wait_for()
    items = page.locator("#make-items b")
    assert items.all_text_contents() == predicted(model, 20)
    assert {item.evaluate("item => getComputedStyle(item).direction") for item in items.all()} == {"rtl"}
    first, second = (page.locator("#make-items li").nth(i).bounding_box()["x"] for i in range(2))
    assert first > second
    page.evaluate("location.hash = '#tab=step&item=של'")
    boxes = [chip.bounding_box()["x"] for chip in page.locator("#step-context li").all()]
    assert boxes == sorted(boxes, reverse=True)
    assert page.locator("#step-item").evaluate("field => getComputedStyle(field).direction") == "rtl"
    page.evaluate("location.hash = '#tab=score&item=שלום'")
    boxes = [cell.bounding_box()["x"] for cell in page.locator("#score-tokens li").all()]
    assert boxes == sorted(boxes, reverse=True)
    assert page.locator("h1").evaluate("title => getComputedStyle(title).direction") == "ltr"


def test_emoji_are_whole(open_page):
    """Catches emoji cut into halves of a surrogate pair."""
    model = counted(["😀🚀", "🌙⭐🍎", "🐱🐶"], 2, 0.01)
    page = open_page(page_of(model, ["😀🚀"]))
    page.locator("#make-items li").nth(19).wait_for()
    assert page.locator("#make-items b").all_text_contents() == predicted(model, 20)
    page.evaluate("location.hash = '#tab=step&item=' + encodeURIComponent('😀🚀')")
    assert page.locator("#step-context li").all_text_contents() == ["😀", "🚀"]
    page.click("#step-undo")
    assert page.input_value("#step-item") == "😀"
    assert page.get_by_text("characters at a time").count() == 1


def test_words_are_tokens_of_sentences(open_page):
    """Catches a model of sentences that is shown letter by letter."""
    model = mlp(["<unk>", "the", "old", "cat", "sleeps"])
    page = open_page(page_of(model))
    page.locator("#make-items li").nth(19).wait_for()
    assert page.locator("#make-items b").all_text_contents() == predicted(model, 20)
    page.evaluate("location.hash = '#tab=step&item=the+old'")
    assert page.locator("#step-context li").all_text_contents() == ["start", "the", "old"]
    page.click("#step-bars .bar:has-text('cat')")
    assert page.input_value("#step-item") == "the old cat"
    page.evaluate("location.hash = '#tab=score&item=the+old+cat'")
    assert page.locator("#score-tokens li").count() == 4


def test_markup_in_items_is_text(open_page):
    """Catches an item, a fact or a label that the browser takes for markup."""
    model = counted([HOSTILE], 3)
    named = dict.fromkeys(("title", "network", "data_name", "command", "config", "date", "split"), HOSTILE)
    facts = replace(FACTS, **named, notes=[HOSTILE], losses={HOSTILE: FACTS.losses["dev"]}, versions={HOSTILE: HOSTILE})
    page = open_page(page_of(model, [HOSTILE], facts))
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.locator("#make-items li").nth(19).wait_for()
    assert HOSTILE in page.locator("#make-items b").all_text_contents()
    for tab in "score", "step", "see":
        page.evaluate("([tab, item]) => { location.hash = new URLSearchParams({tab, item}); }", [tab, HOSTILE])
        page.locator(f"#{tab}").wait_for()
    assert page.locator("#facts").text_content().count(HOSTILE) >= 6
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2


FORBIDDEN = {
    "fetch": "fetch('data:text/plain,x').then(() => 'done', () => 'refused')",
    "image": "load('img', 'src', 'data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=')",
    "script": "load('script', 'src', 'data:text/javascript,1')",
    "frame": "new Promise((done) => { addEventListener('securitypolicyviolation', () => done('refused'));"
    " load('iframe', 'src', 'data:text/html,x'); })",
    "socket": "new Promise((done) => { addEventListener('securitypolicyviolation', () => done('refused'));"
    " new WebSocket('ws://127.0.0.1:9'); })",
    "beacon": "new Promise((done) => { addEventListener('securitypolicyviolation', () => done('refused'));"
    " navigator.sendBeacon('http://127.0.0.1:9', 'x'); })",
    "inline": "new Promise((done) => { addEventListener('securitypolicyviolation', () => done('refused'));"
    " const script = document.createElement('script'); script.textContent = '1'; document.body.append(script); })",
}
LOAD = """const load = (tag, name, value) => new Promise((done) => {
  const made = document.createElement(tag);
  made.onload = () => done('done'); made.onerror = () => done('refused');
  made[name] = value; document.body.append(made);
});"""


def test_the_policy_forbids_every_request(browser, tmp_path):
    """Catches a content security policy through which something leaves or enters the page."""
    path = tmp_path / "page.html"
    path.write_text(page_of(mlp("abc")), encoding="utf-8")
    page = browser.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    for name, attempt in FORBIDDEN.items():
        refused = page.evaluate(f"() => {{ {LOAD} return {attempt}; }}")
        assert refused == "refused", name
    policy = page.locator("meta[http-equiv]").get_attribute("content")
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    page.close()
