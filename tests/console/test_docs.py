"""The documentation in the console: pages in order, links and anchors, examples for this reader, search, reference."""

from __future__ import annotations

import re
from html import unescape
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from gateway.console.docs import Book, docs_folder
from gateway.console.highlight import Highlighter, fill
from gateway.console.markdown import Markdown, slug

from .conftest import Site

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def book() -> Book:
    return Book()


@pytest.fixture(scope="module")
def markdown() -> Markdown:
    return Markdown(Highlighter(), lambda target: target)


def test_the_book_is_the_projects_documentation() -> None:
    assert docs_folder() == ROOT / "docs"


def test_every_page_has_its_place_in_the_index(book: Book) -> None:
    assert {entry.name for entry in book.order} == set(book.pages)
    assert "More" not in [title for title, _ in book.groups], "docs/index.md names every page"
    assert [entry.name for entry in book.order][:3] == ["", "chat-completions", "responses"]


def test_links_and_anchors_lead_somewhere(book: Book) -> None:
    anchors = {entry.path: {section.anchor for section in book.pages[entry.name].sections} for entry in book.order}
    for entry in book.order:
        for target in re.findall(r'href="([^"]+)"', book.pages[entry.name].html):
            path, _, anchor = unescape(target).partition("#")
            if path.startswith(("https://", "/chat", "/models", "/pricing", "/usage", "/settings", "/api", "/account")):
                continue
            if anchor.startswith(("note-", "noted-")):
                assert f'id="{anchor}"' in book.pages[entry.name].html
                continue
            assert (path or entry.path) in anchors, (entry.path, target)
            assert anchor in anchors[path or entry.path] | {""}, (entry.path, target)


def test_pages_have_one_title_and_no_gaps_in_their_headings(book: Book) -> None:
    for name, page in book.pages.items():
        levels = [int(level) for level in re.findall(r"<h([1-6])", page.html)]
        assert levels[0] == 1, name
        assert levels.count(1) == 1, name
        assert all(after <= before + 1 for before, after in pairwise(levels)), name


def test_nothing_is_left_to_fill_in(book: Book) -> None:
    for page in book.pages.values():
        html = fill(page.html, base_url="https://llm.example", language="curl")
        assert not re.search("[\x01-\x08]", html)
        assert "127.0.0.1:8080" not in html or "http://127.0.0.1:8080" not in html


def test_source_html_is_text_and_comments_are_gone(markdown: Markdown) -> None:
    html = markdown.render("# T\n\n<!-- secret -->\n<b onclick=x>bold</b> [a](javascript:alert(1)) `<i>`\n").html
    assert "secret" not in html
    assert "<b " not in html
    assert "&lt;b onclick=x&gt;" in html
    assert "<i>" not in html
    assert 'href="javascript' not in html


def test_footnotes_and_line_breaks(markdown: Markdown) -> None:
    source = "# T\n\n| a | b |\n|---|---|\n| x[^n]<br>y | z[^n] <i>[^none] |\n\n[^n]: why `so`\n"
    html = markdown.render(source).html
    assert 'x<sup><a href="#note-n" id="noted-n" aria-label="Note 1">1</a></sup><br>y' in html
    assert html.count('id="noted-n"') == 1
    assert "&lt;i&gt;[^none]" in html
    assert '<li id="note-n" value="1">why <code>so</code> <a href="#noted-n"' in html
    assert "[^n]" not in html


def test_a_code_that_fits_on_a_line_is_not_broken(markdown: Markdown) -> None:
    html = markdown.render(f"# T\n\n`x-gateway-cost` `{'x-' * 16}` `/models`\n").html
    assert '<code class="whole">x-gateway-cost</code>' in html
    assert f"<code>{'x-' * 16}</code>" in html
    assert '<a href="/models"><code class="whole">/models</code></a>' in html


def test_examples_side_by_side_become_tabs(markdown: Markdown) -> None:
    source = "# T\n\n```python\na = 1\n```\n\n```js\nlet a\n```\n\n```bash\nls\n```\n\ntext\n\n```python\nb = 2\n```\n"
    html = markdown.render(source).html
    assert html.count("<fieldset") == 1
    assert re.findall(r'value="(\w+)"', html) == ["Python", "JavaScript", "curl"]
    for language, number in (("JavaScript", 1), ("curl", 2), ("Cobol", 0)):
        chosen = fill(html, base_url="http://x", language=language)
        assert re.findall(r'id="code-1-(\d)"[^>]* checked', chosen) == [str(number)]


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("```yaml\na: 1\n```\n\n```json\n{}\n```\n", 0),
        ("```python\na\n```\n\n```python\nb\n```\n", 0),
        ("```python\na\n```\n", 0),
        ("```python\na\n```\n\n```bash\nb\n```\n\n```python\nc\n```\n\n```bash\nd\n```\n", 2),
    ],
)
def test_other_blocks_stay_alone(markdown: Markdown, source: str, count: int) -> None:
    assert markdown.render("# T\n\n" + source).html.count("<fieldset") == count


def test_an_example_can_be_tried(markdown: Markdown) -> None:
    source = '# T\n\n```python\nf(model="a/b", messages=[{"role": "user", "content": "Why & how?"}])\n```\n'
    assert 'href="/chat?model=a%2Fb&amp;prompt=Why+%26+how%3F"' in markdown.render(source).html
    assert "Try it" not in markdown.render("# T\n\n```yaml\nmodel: a\ncontent: 'b'\n```\n").html


def test_anchors_are_unique_and_githubs() -> None:
    taken: set[str] = set()
    assert [slug(text, taken) for text in ("Idempotency-Key", "A `b` & c!", "A `b` & c!", "!")] == [
        "idempotency-key", "a-b--c", "a-b--c-1", "section",
    ]  # fmt: skip


def test_search_wants_all_words_and_prefers_titles(book: Book) -> None:
    found = book.search("streaming")
    assert found[0].page == "Streaming"
    assert book.search("idempotency conflict")[0].path.startswith("/docs/http-api#idempotency-key")
    assert book.search("streaming zzzzz") == []
    assert book.search("") == []
    assert len(book.search("the")) == 30


async def test_pages_are_shown_for_this_reader(site: Site) -> None:
    seen = await site.get("/docs/streaming", host="llm.lan", cookie="console_code=curl")
    assert seen.status == 200
    assert "http://llm.lan/v1" in seen.text
    assert "127.0.0.1:8080" not in seen.text
    assert set(re.findall(r'value="(\w+)" checked', seen.text)) == {"curl"}
    assert 'rel="prev" href="/docs/responses"' in seen.text
    assert 'rel="next" href="/docs/function-calling"' in seen.text
    assert 'aria-current="page">Streaming' in seen.text
    overview = await site.get("/docs")
    assert "<h1>Overview</h1>" in overview.text


async def test_what_is_no_page_is_404(site: Site) -> None:
    for path in ("/docs/nope", "/docs/index", "/docs/..%2Findex", "/docs/reference/nope", "/docs/%3Cscript%3E"):
        seen = await site.get(path)
        assert seen.status == 404, path
        assert "<script>" not in seen.text


async def test_the_index_is_kept_for_ever_under_its_version(site: Site) -> None:
    page = await site.get("/docs")
    found = re.search(r'data-index="([^"]+)"', page.text)
    assert found
    index = await site.get(found[1], accept="*/*")
    assert index.headers["cache-control"] == "public, max-age=31536000, immutable"
    sections = orjson.loads(index.text)
    assert any(heading == "Idempotency-Key" for _, _, heading, _ in sections)
    assert (await site.get("/docs/index/old", accept="*/*")).headers["cache-control"] == "no-cache"


async def test_search_works_without_scripts(site: Site) -> None:
    seen = await site.get("/docs?q=idempotency")
    assert "/docs/http-api#idempotency-key" in seen.text
    hostile = await site.get("/docs?q=%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in hostile.text
    assert "No page has all of these words" in hostile.text


async def test_what_an_integer_can_hold_is_no_limit(site: Site) -> None:
    text = (await site.get("/docs/reference/chat")).text
    assert "integer or null, at least 1<" in text
    assert "number or null, -2 to 2<" in text
    assert str(2**63 - 1) not in text


async def test_the_reference_has_every_operation(site: Site) -> None:
    document = orjson.loads((await site.get("/openapi.json", accept="*/*")).text)
    index = await site.get("/docs/reference")
    tags = sorted(set(re.findall(r'href="(/docs/reference/[\w-]+)"', index.text)))
    shown = "".join([(await site.get(tag)).text for tag in tags])
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "servers":
                assert f'id="{operation["operationId"]}"' in shown, (method, path)
                assert f"#{operation['operationId']}" in index.text
