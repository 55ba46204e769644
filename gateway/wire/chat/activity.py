"""What was done beside the model's words in an earlier turn, in words: searches, pages, code, tools of a server.

An assistant message tells of it in `x_gateway`, as answers do: a list of events, of which `done` has an item in the
form of OpenAI's Responses API, and here also `after_text`, the characters of the message's text that stood before it
(0 without). No chat API takes such items back, so the model reads them in its own turn, where they stood.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import orjson

from gateway.wire.lenient import dict_of, dicts_of, text_of

Json = dict[str, Any]

MEMBER = "x_gateway"

_MOST_RESULTS = 50
"""Addresses of one search that are told."""


def activity_event(item: Json, after_text: int = 0) -> Json:
    """The event that tells of an item in a message's `x_gateway`."""
    return {"event": "done", "item": item, **({"after_text": after_text} if after_text else {})}


def activity_notes(message: Mapping[str, Any], known: Container[str] = ()) -> list[tuple[int, str]]:
    """The words for all in a message's `x_gateway`, each with the characters of its text that stand before, in order.

    known: ids of items that the target is told of in another form. Nonsense in the member is left out.
    """
    told: list[tuple[int, str]] = []
    for event in dicts_of(message.get(MEMBER)):
        item = dict_of(event.get("item"))
        text = "" if event.get("event") != "done" or text_of(item.get("id")) in known else in_words(item)
        if text:
            place = event.get("after_text")
            told.append((place if type(place) is int and place > 0 else 0, text))
    return sorted(told, key=lambda one: one[0])


def tell_activity(message: Json, known: Container[str] = ()) -> Json:
    """The assistant message with its `x_gateway` in words within its content; the very same one where there is none.
    known: see `activity_notes`."""
    if MEMBER not in message:
        return message
    kept = {key: value for key, value in message.items() if key != MEMBER}
    told = activity_notes(message, known)
    if told:
        kept["content"] = _told_within(message.get("content"), told)
    return kept


def in_words(item: Mapping[str, Any]) -> str:
    """What an item of the Responses API tells of something done; "" for one of another kind."""
    make = _WORDS.get(text_of(item.get("type")))
    return "" if make is None else f"({make(item)})"


def _told_within(content: Any, told: Sequence[tuple[int, str]]) -> Any:
    """The content with each text after so many characters of it."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else dicts_of(content)
    out: list[Json] = []
    waiting = list(told)
    said = 0
    for part in parts:
        text = part.get("text")
        if part.get("type") != "text" or not isinstance(text, str):
            out.append(part)
            continue
        while waiting and waiting[0][0] < said + len(text):
            place, words = waiting.pop(0)
            cut = max(place - said, 0)
            if cut:
                out.append({**part, "text": text[:cut]})
                said, text = said + cut, text[cut:]
            out.append({"type": "text", "text": words})
        said += len(text)
        if text:
            out.append({**part, "text": text})
    out += [{"type": "text", "text": words} for _, words in waiting]
    if isinstance(content, list):
        return out
    return "\n\n".join(stripped for part in out if (stripped := part["text"].strip("\n")))


def _search(item: Mapping[str, Any]) -> str:
    action = dict_of(item.get("action"))
    kind = action.get("type")
    if kind == "open_page":
        page = text_of(item.get("text"))
        return f"Opened the page {text_of(action.get('url'))}" + (f", which says:\n{page}\n" if page else "")
    if kind == "find_in_page":
        return f'Looked for "{text_of(action.get("pattern"))}" on the page {text_of(action.get("url"))}'
    listed = action.get("queries")
    queries = [query for query in listed if isinstance(query, str)] if isinstance(listed, list) else []
    query = text_of(action.get("query"))
    if query and query not in queries:
        queries.insert(0, query)
    asked = "Searched the web" + (f" for {', '.join(_quoted(query) for query in queries)}" if queries else "")
    if item.get("status") == "failed":
        return f"{asked}; the search failed"
    return asked + _found([*dicts_of(item.get("results")), *dicts_of(action.get("sources"))])


def _found(results: Sequence[Mapping[str, Any]]) -> str:
    """The addresses that a search found, once each, with the titles and texts that are known."""
    lines: dict[str, str] = {}
    for result in results:
        url = text_of(result.get("url")) or text_of(result.get("filename"))
        words = [word for name in ("title", "text") if (word := text_of(result.get(name)))]
        if url and (url not in lines or not lines[url]):
            lines[url] = ": ".join(words)
    shown = [f"{url} {words}".rstrip() for url, words in list(lines.items())[:_MOST_RESULTS]]
    return ". Found:\n" + "\n".join(shown) + "\n" if shown else ""


def _file_search(item: Mapping[str, Any]) -> str:
    listed = item.get("queries")
    queries = [_quoted(query) for query in listed if isinstance(query, str)] if isinstance(listed, list) else []
    asked = "Searched the files" + (f" for {', '.join(queries)}" if queries else "")
    return asked + _found(dicts_of(item.get("results")))


def _code(item: Mapping[str, Any]) -> str:
    logs = [text_of(output.get("logs")) for output in dicts_of(item.get("outputs"))]
    printed = "\n".join(log for log in logs if log)
    code = text_of(item.get("code"))
    ran = f"Ran this code:\n{code}\n" if code else "Ran the code above. "
    return ran + (f"It printed:\n{printed}\n" if printed else "")


def _picture(item: Mapping[str, Any]) -> str:
    prompt = text_of(item.get("revised_prompt"))
    return "Made a picture" + (f" of {_quoted(prompt)}" if prompt else "")


def _tool(item: Mapping[str, Any]) -> str:
    """A call of a server's tool. What it brought may be text, or JSON of its own."""
    server = text_of(item.get("server_label"))
    called = f"Called the tool {text_of(item.get('name'))}" + (f" of the server {server}" if server else "")
    arguments, output = text_of(item.get("arguments")), item.get("error") or item.get("output")
    if arguments:
        called += f" with {arguments}"
    if output and not isinstance(output, str):
        output = orjson.dumps(output).decode()
    word = "It failed" if item.get("error") else "It brought"
    return f"{called}. {word}:\n{output}\n" if output else called


def _quoted(text: str) -> str:
    return f'"{text}"'


_WORDS = {
    "web_search_call": _search,
    "file_search_call": _file_search,
    "code_interpreter_call": _code,
    "image_generation_call": _picture,
    "mcp_call": _tool,
}

TOLD = frozenset(_WORDS)
"""Types of the items that `in_words` has words for."""
