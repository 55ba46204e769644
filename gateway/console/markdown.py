"""The project's Markdown to HTML: headings with anchors, highlighted code, examples in several languages as tabs.

What differs from reader to reader is left open as marks in the HTML, and filled in by `fill` when a page is sent: the
gateway's address, which stands for the one in the examples, and the language that is shown first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from gateway.console.highlight import Highlighter, mark_choice

if TYPE_CHECKING:
    from markdown_it.token import Token

_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_NOTE = re.compile(r"^\[\^([\w-]+)\]: (.+)\n?", re.MULTILINE)
_NOTED = re.compile(r"\[\^([\w-]+)\]|(<br>)")
_WHOLE = 30
"""Characters of a code that a line of a phone has room for; such a code is not broken at its hyphens."""
_MODEL = re.compile(r"""["']?model["']?\s*[:=]\s*["']([^"']+)["']""")
_PROMPT = re.compile(r"""["']?(?:content|input)["']?\s*[:=]\s*(["'])((?:(?!\1).)+)\1""")
_PAGES = frozenset("/models /pricing /chat /usage /credits /api /settings/api-keys /account /admin".split())
"""Paths of the console that become links where a page names them as code: links in the source would lead nowhere for
those who read it elsewhere."""
TABS = {"python": "Python", "javascript": "JavaScript", "js": "JavaScript", "bash": "curl"}
"""Fence -> the tab of a block that stands beside blocks in other languages."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page: what a heading is about. anchor: "" for what stands before the first one."""

    anchor: str
    heading: str
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """A page: its first heading, its HTML with marks (see `gateway.console.highlight.fill`), and its sections."""

    title: str
    html: str
    sections: tuple[Section, ...]


def slug(text: str, taken: set[str]) -> str:
    """The anchor of a heading, as GitHub makes it; a number is added to one that is `taken`, which it joins."""
    base = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") or "section"
    name, number = base, 0
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name)
    return name


class Markdown:
    """Renders pages. link: what an address in a page becomes, "" for one that leads nowhere here."""

    def __init__(self, highlighter: Highlighter, link: Callable[[str], str]) -> None:
        from markdown_it import MarkdownIt

        self._parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        self._highlighter = highlighter
        self._link = link

    def render(self, source: str) -> Written:
        """The page. HTML in the source is shown as text, but for `<br>`; its comments are left out. Footnotes
        (`[^1]`, and `[^1]: ...` in one line) stand at the end."""
        source = _COMMENT.sub("", source)
        notes = dict(_NOTE.findall(source))
        tokens = self._parser.parse(_NOTE.sub("", source))
        return _Page(self._parser, self._highlighter, self._link, tokens, notes).written()


class _Page:
    def __init__(
        self,
        parser: Any,
        highlighter: Highlighter,
        link: Callable[[str], str],
        tokens: Sequence[Token],
        notes: Mapping[str, str],
    ) -> None:
        self._parser = parser
        self._highlighter = highlighter
        self._link = link
        self._tokens = tokens
        self._notes = notes
        self._noted: set[str] = set()
        self._anchors: set[str] = set()
        self._tabs = 0
        self._sections: list[Section] = []
        self._words: list[str] = []
        self._here = ("", "", 1)
        self._title = ""

    def written(self) -> Written:
        made: list[str] = []
        at = 0
        while at < len(self._tokens):
            token = self._tokens[at]
            if token.type == "heading_open":
                made.append(self._heading(token, self._tokens[at + 1]))
                at += 3
            elif token.type == "fence":
                group = self._group(at)
                made.append(self._code(group))
                self._words.extend(one.content for one in group)
                at += len(group)
            else:
                made.append(self._other(token))
                at += 1
        made.append(self._foot())
        self._close_section()
        return Written(self._title, "".join(made), tuple(self._sections))

    def _foot(self) -> str:
        """The footnotes that the page refers to."""
        lines = [
            f'<li id="note-{name}" value="{number}">{self._parser.renderInline(text)} '
            f'<a href="#noted-{name}" aria-label="Back to the text">&#8617;</a></li>\n'
            for number, (name, text) in enumerate(self._notes.items(), start=1)
            if name in self._noted
        ]
        return f'<ol class="notes" aria-label="Notes">\n{"".join(lines)}</ol>\n' if lines else ""

    def _mark(self, found: re.Match[str]) -> str:
        """A line break, or a reference to a footnote."""
        name = found[1]
        if name is None:
            return "<br>"
        if name not in self._notes:
            return escape(found[0])
        place = "" if name in self._noted else f' id="noted-{name}"'
        self._noted.add(name)
        number = list(self._notes).index(name) + 1
        return f'<sup><a href="#note-{name}"{place} aria-label="Note {number}">{number}</a></sup>'

    def _heading(self, token: Token, inline: Token) -> str:
        text = "".join(child.content for child in inline.children or ())
        level = int(token.tag[1])
        if level == 1 and not self._title:
            self._title = text
            self._here = ("", text, 1)
            return f"<h1>{self._inline(inline)}</h1>\n"
        self._close_section()
        anchor = slug(text, self._anchors)
        self._here = (anchor, text, level)
        link = f'<a class="anchor" href="#{escape(anchor)}" aria-label="Link to this section">#</a>'
        return f'<{token.tag} id="{escape(anchor)}">{self._inline(inline)}{link}</{token.tag}>\n'

    def _close_section(self) -> None:
        anchor, heading, level = self._here
        text = " ".join(" ".join(self._words).split())
        if heading or text:
            self._sections.append(Section(anchor, heading, level, text))
        self._words = []

    def _group(self, at: int) -> list[Token]:
        """The block at this place, with those that directly follow it in other languages of the same example."""
        group = [self._tokens[at]]
        seen = {TABS.get(group[0].info.strip())}
        for token in self._tokens[at + 1 :]:
            tab = TABS.get(token.info.strip()) if token.type == "fence" else None
            if tab is None or None in seen or tab in seen:
                break
            group.append(token)
            seen.add(tab)
        return group

    def _code(self, group: Sequence[Token]) -> str:
        if len(group) == 1:
            return self._block(group[0], group[0].info.strip() or "Code") + self._try(group)
        self._tabs += 1
        names = [TABS[token.info.strip()] for token in group]
        parts = ['<fieldset class="tabs"><legend class="sr">Language of the example</legend>\n']
        for number, (token, name) in enumerate(zip(group, names, strict=True)):
            identity = f"code-{self._tabs}-{number}"
            parts.append(
                f'<input type="radio" name="code-{self._tabs}" id="{identity}" value="{name}"'
                f'{mark_choice(name, names)}><label for="{identity}">{name}</label>\n'
                f'<div class="tab">{self._block(token, name)}</div>\n'
            )
        return "".join(parts) + "</fieldset>\n" + self._try(group)

    def _block(self, token: Token, name: str) -> str:
        html = self._highlighter.html(token.content, token.info.strip())
        return (
            f'<div class="code"><pre tabindex="0" aria-label="{escape(name)} example"><code>{html}</code></pre>'
            '<button class="copy" type="button" data-copy hidden>Copy</button></div>\n'
        )

    def _try(self, group: Sequence[Token]) -> str:
        """A link that opens the chat with this example, where it is one of a request."""
        for token in group:
            if token.info.strip() not in TABS:
                continue
            model = _MODEL.search(token.content)
            prompt = _PROMPT.search(token.content)
            if model and prompt:
                query = urlencode({"model": model[1], "prompt": prompt[2]})
                return f'<p class="try"><a href="/chat?{escape(query)}">Try it in the chat</a></p>\n'
        return ""

    def _other(self, token: Token) -> str:
        if token.type == "inline":
            self._words.extend(child.content for child in token.children or () if child.content)
            return self._inline(token)
        rendered: str = self._parser.renderer.render([token], self._parser.options, {})
        if token.type == "table_open":
            # Wide ones scroll by themselves, with the keyboard too.
            return '<div class="scroll" tabindex="0" role="region" aria-label="Table">' + rendered
        return rendered + "</div>\n" if token.type == "table_close" else rendered

    def _marked(self, text: str) -> str:
        parts, at = [], 0
        for found in _NOTED.finditer(text):
            parts += [escape(text[at : found.start()]), self._mark(found)]
            at = found.end()
        return "".join([*parts, escape(text[at:])])

    def _inline(self, token: Token) -> str:
        for child in token.children or ():
            if child.type == "code_inline" and child.content in _PAGES:
                code = f'<code class="whole">{child.content}</code>'
                child.type, child.content = "html_inline", f'<a href="{child.content}">{code}</a>'
            elif child.type == "code_inline" and len(child.content) <= _WHOLE:
                child.attrSet("class", "whole")
            elif child.type == "text" and _NOTED.search(child.content):
                child.type, child.content = "html_inline", self._marked(child.content)
            if child.type == "link_open":
                child.attrSet("href", self._link(str(child.attrGet("href") or "")))
        rendered: str = self._parser.renderer.renderInline(token.children or [], self._parser.options, {})
        return rendered
