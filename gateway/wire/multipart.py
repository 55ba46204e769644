"""Forms with files: `multipart/form-data` (RFC 7578 on RFC 2046, section 5.1), read whole and written.

Reading is one pass over the bytes, whatever is in them; what two readers might understand differently is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from gateway.errors import CallerFault
from gateway.wire.validators import Check, Validator, printable, refuse

FORM = "multipart/form-data"
MOST_PARTS = 256
_LONGEST_HEAD = 8 * 1024
_LONGEST_TEXT = 1 << 20
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*(?:([A-Za-z*]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*)))?\s*')
_PLAIN = frozenset({"", "binary", "8bit", "7bit"})


@dataclass(slots=True, frozen=True)
class Upload:
    """A file of a form. name: what its sender calls it. media_type: in lower case, "" where none is said. seconds: of
    sound, where its reader has found that out."""

    content: bytes
    name: str = ""
    media_type: str = ""
    seconds: float | None = None

    def describe(self) -> dict[str, Any]:
        """What tells it from any other, as JSON."""
        return {
            "name": self.name,
            "media_type": self.media_type,
            "bytes": len(self.content),
            "digest": blake2b(self.content, digest_size=32).hexdigest(),
        }


Field = tuple[str, str | Upload]
"""The name of one part of a form, and what is in it."""


def describe_uploads(value: Any) -> Any:
    """For `orjson.dumps(body, default=...)` of a body that may hold files. Raises TypeError for whatever else."""
    if isinstance(value, Upload):
        return value.describe()
    raise TypeError(f"{type(value).__name__} is no JSON")


def read_form(content_type: str, body: bytes) -> list[Field]:
    """The parts of a whole form, in order. content_type: the header. Raises CallerFault 400 for what is none."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise _broken("its Content-Type names no boundary")
    mark = b"--" + (found[1] or found[2]).encode("latin-1", "replace")
    place = len(mark)
    mark = b"\r\n" + mark
    if not body.startswith(mark[2:]):
        before = body.find(mark)
        if before < 0:
            raise _broken("its boundary does not occur")
        place = before + len(mark)
    fields: list[Field] = []
    while body[place : place + 2] != b"--":
        # White space between a boundary and its line end is the transport's (RFC 2046, 5.1.1).
        line = body.find(b"\r\n", place, place + 70)
        if line < 0 or body[place:line].strip(b" \t"):
            raise _broken("a boundary is followed by something else")
        if len(fields) == MOST_PARTS:
            raise _broken(f"it has more than {MOST_PARTS} parts")
        start = body.find(b"\r\n\r\n", line, line + _LONGEST_HEAD)
        if start < 0:
            raise _broken(f"the headers of a part do not end within {_LONGEST_HEAD} bytes")
        end = body.find(mark, start + 2)
        if end < 0:
            raise _broken("its last part does not end")
        head = body[line + 2 : start] if start > line else b""
        fields.append(_field(head, body[start + 4 : end] if end > start + 2 else b""))
        place = end + len(mark)
    return fields


def _field(head: bytes, content: bytes) -> Field:
    headers: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\r\n") if head else ():
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or name in headers:
            raise _broken(f"a part has the header {printable(name, 40)!r} twice, or without a value")
        headers[name] = value.strip()
    kind, given = _disposition(headers.get("content-disposition", ""))
    if kind != "form-data" or not given.get("name"):
        raise _broken("a part has no Content-Disposition with a name")
    if headers.get("content-transfer-encoding", "").lower() not in _PLAIN:
        raise _broken("a part is encoded (Content-Transfer-Encoding); send it as it is")
    name, media_type = given["name"], headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type.startswith("multipart/"):
        raise _broken("a part is a form in itself")
    if "filename" in given or "filename*" in given:
        return name, Upload(content, printable(given.get("filename", "")), media_type)
    if len(content) > _LONGEST_TEXT:
        refuse(name, f"expected at most {_LONGEST_TEXT} bytes of text; a file needs a filename")
    try:
        return name, content.decode()
    except UnicodeDecodeError:
        refuse(name, "expected text in UTF-8; a file needs a filename")


def _disposition(header: str) -> tuple[str, dict[str, str]]:
    """Kind and parameters of a Content-Disposition. One parameter is looked for where the one before ended, so that no
    text is looked through twice."""
    kind = header.partition(";")[0]
    given: dict[str, str] = {}
    place = len(kind)
    while place < len(header):
        found = _PARAMETER.match(header, place)
        if found is None:
            raise _broken("the Content-Disposition of a part is malformed")
        place = found.end()
        if found[1] is None:
            continue
        name = found[1].lower()
        if name in given:
            raise _broken(f"a part says {name} twice")
        given[name] = found[3] if found[2] is None else re.sub(r"\\(.)", r"\1", found[2])
    return kind.strip().lower(), given


def body_of_form(fields: Iterable[Field], members: Mapping[str, Validator]) -> dict[str, Any]:
    """The fields as the JSON body that says the same, in which files are `Upload`s.

    members: the body's members; their schemas tell numbers from texts. A name may end in `[]`; what is no array stands
    once. Raises CallerFault that names the field.
    """
    body: dict[str, Any] = {}
    for name, value in fields:
        plain = name.removesuffix("[]")
        tree = members[plain].tree if plain in members else {}
        kind = tree.get("type")
        inner = tree.get("items", {}).get("type") if kind == "array" else kind
        made = value if isinstance(value, Upload) else _read_text(plain, value, inner)
        if kind == "array" or (name != plain and plain not in members):
            if isinstance(body.setdefault(plain, []), list):
                body[plain].append(made)
                continue
        elif plain not in body:
            body[plain] = made
            continue
        refuse(plain, "stands in the form twice")
    return body


def _read_text(name: str, text: str, kind: Any) -> Any:
    if kind in ("integer", "number", "boolean", "object"):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            refuse(name, f"expected {kind}, got text", code="invalid_type")
    return text


def upload_of(most: int, what: str) -> Validator:
    """A file of at least one and at most `most` bytes. what: is said of it in messages, such as `a recording`."""

    def check(path: str, value: Any) -> None:
        if value is None:
            refuse(path, f"is missing; expected {what} as a file of a form", code="missing_required_parameter")
        if not isinstance(value, Upload):
            refuse(path, f"expected {what} as a file of a form (multipart/form-data)", code="invalid_type")
        if not value.content:
            refuse(path, "the file is empty")
        if len(value.content) > most:
            raise CallerFault(
                f"{path}: the file is larger than {most} bytes.", status=413, code="request_too_large", param=path
            )

    return Validator(check, {"type": "string", "contentMediaType": "application/octet-stream"})


def uploads_of(most_files: int, each: Check) -> Validator:
    """One file or several, in an array. each: checks one of them."""

    def check(path: str, value: Any) -> None:
        files = value if isinstance(value, list) else [value]
        if not files or len(files) > most_files:
            refuse(path, f"expected from 1 to {most_files} files, got {len(files)}")
        for index, file in enumerate(files):
            each(path if len(files) == 1 else f"{path}[{index}]", file)

    binary = {"type": "string", "contentMediaType": "application/octet-stream"}
    return Validator(check, {"type": "array", "items": binary, "minItems": 1, "maxItems": most_files})


def write_form(fields: Sequence[Field], seed: str) -> tuple[str, bytes]:
    """A form: its Content-Type, and its bytes. seed: something unique, such as the request's id, of which the boundary
    is made. Raises CallerFault for texts that are no Unicode."""
    contents = [value.content if isinstance(value, Upload) else _encoded(name, value) for name, value in fields]
    boundary = "form-" + blake2b(seed.encode("utf-8", "replace"), digest_size=18).hexdigest()
    while any(boundary.encode() in content for content in contents):
        boundary = "form-" + blake2b(boundary.encode(), digest_size=18).hexdigest()
    parts: list[bytes] = []
    for (name, value), content in zip(fields, contents, strict=True):
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'
        if isinstance(value, Upload):
            head += f'; filename="{_quoted(value.name or "file")}"'
            head += f"\r\nContent-Type: {value.media_type or 'application/octet-stream'}"
        parts += [head.encode(), b"\r\n\r\n", content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return f"{FORM}; boundary={boundary}", b"".join(parts)


def has_uploads(body: Mapping[str, Any]) -> bool:
    """Whether there are files in a body, so that it can be said in a form only."""
    values = (item for value in body.values() for item in (value if isinstance(value, list) else [value]))
    return any(isinstance(value, Upload) for value in values)


def form_of_body(body: Mapping[str, Any]) -> list[Field]:
    """The fields that say the same as a body with files in it; what is null is left out."""
    fields: list[Field] = []
    for name, value in body.items():
        many = isinstance(value, list)
        for item in value if many else [value]:
            if item is not None:
                text = item if isinstance(item, str | Upload) else orjson.dumps(item).decode()
                fields.append((name + "[]" if many else name, text))
    return fields


def _quoted(name: str) -> str:
    """As browsers write names (WHATWG HTML, multipart form data)."""
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


def _encoded(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        refuse(name, "is no valid Unicode")


def _broken(why: str) -> CallerFault:
    return CallerFault(f"The form (multipart/form-data) cannot be read: {why}.", code="invalid_form")
