"""Forms with files: what is taken, what is refused, and that work on hostile ones is bounded by their size."""

from __future__ import annotations

from contextlib import suppress

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CallerFault
from gateway.wire.multipart import (
    MOST_PARTS,
    Upload,
    body_of_form,
    form_of_body,
    has_uploads,
    read_form,
    upload_of,
    uploads_of,
    write_form,
)
from gateway.wire.validators import array, boolean, integer, number, string

TYPE = 'multipart/form-data; boundary="b"'


def part(head: str, content: bytes = b"x") -> bytes:
    return b"--b\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


PLAIN = 'Content-Disposition: form-data; name="a"'
FILE = 'Content-Disposition: form-data; name="f"; filename="x.wav"\r\nContent-Type: audio/wav'


def test_texts_and_files() -> None:
    body = form(part(PLAIN, b"hello"), part(FILE, b"\x00\r\n--\r\n\xff"))
    assert read_form(TYPE, body) == [("a", "hello"), ("f", Upload(b"\x00\r\n--\r\n\xff", "x.wav", "audio/wav"))]


@pytest.mark.parametrize("preamble", [b"", b"ignored\r\n", b"\r\n"])
@pytest.mark.parametrize("epilogue", [b"", b"ignored", b"\r\n--b\r\n"])
def test_what_surrounds_a_form_is_ignored(preamble: bytes, epilogue: bytes) -> None:
    assert read_form(TYPE, preamble + form(part(PLAIN)) + epilogue) == [("a", "x")]


def test_empty_contents() -> None:
    assert read_form(TYPE, form(part(PLAIN, b""), part(FILE, b""))) == [
        ("a", ""),
        ("f", Upload(b"", "x.wav", "audio/wav")),
    ]
    # Without the line end that should stand before a boundary.
    assert read_form(TYPE, b"--b\r\n" + PLAIN.encode() + b"\r\n\r\n--b--") == [("a", "")]
    assert read_form(TYPE, b"--b--") == []


@pytest.mark.parametrize(
    ("content_type", "body", "why"),
    [
        ("multipart/form-data", form(part(PLAIN)), "no boundary"),
        ("multipart/form-data; boundary=", form(part(PLAIN)), "no boundary"),
        ("multipart/form-data; boundary=" + "x" * 71, form(part(PLAIN)), "no boundary"),
        (TYPE, b"", "does not occur"),
        (TYPE, b"{}", "does not occur"),
        (TYPE, b"--bb\r\n", "something else"),
        (TYPE, part(PLAIN)[:-2], "does not end"),
        (TYPE, part(PLAIN), "does not end"),
        (TYPE, b"--b\r\n" + PLAIN.encode(), "headers of a part"),
        (TYPE, b"--b\r\nX: " + b"y" * 9000 + b"\r\n\r\nx\r\n--b--", "headers of a part"),
        (TYPE, form(part("X: y")), "with a name"),
        (TYPE, form(part('Content-Disposition: form-data; name=""')), "with a name"),
        (TYPE, form(part('Content-Disposition: attachment; name="a"')), "with a name"),
        (TYPE, form(part(PLAIN + '; name="b"')), "twice"),
        (TYPE, form(part(PLAIN + "\r\n" + PLAIN)), "twice"),
        (TYPE, form(part(PLAIN + "\r\nbroken")), "without a value"),
        (TYPE, form(part(PLAIN + "\r\nContent-Transfer-Encoding: base64")), "encoded"),
        (TYPE, form(part(PLAIN + "\r\nContent-Type: multipart/mixed; boundary=c")), "a form in itself"),
        (TYPE, form(*[part(PLAIN)] * (MOST_PARTS + 1)), "parts"),
        (TYPE, form(part(PLAIN, b"\xff")), "UTF-8"),
        (TYPE, form(part(PLAIN, b"x" * (1 << 20) + b"y")), "bytes of text"),
    ],
)  # fmt: skip
def test_what_is_no_form_is_refused(content_type: str, body: bytes, why: str) -> None:
    with pytest.raises(CallerFault, match=why) as caught:
        read_form(content_type, body)
    assert caught.value.status == 400


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 300))
def test_nonsense_is_never_more_than_a_fault(junk: bytes, start: int, end: int) -> None:
    good = form(part(PLAIN, b"hello"), part(FILE, b"data"))
    for body in (junk, good[:start], good[:start] + junk + good[end:]):
        with suppress(CallerFault):
            read_form(TYPE, body)


@given(
    st.lists(
        st.tuples(st.text("abc", min_size=1), st.text() | st.binary().map(lambda data: Upload(data, "n"))), max_size=5
    )
)
def test_what_is_written_is_read_again(fields: list[tuple[str, str | Upload]]) -> None:
    try:
        content_type, raw = write_form(fields, "seed")
    except CallerFault:
        assert any(isinstance(value, str) and not value.isprintable() for _, value in fields)
        return
    read = read_form(content_type, raw)
    assert [name for name, _ in read] == [name for name, _ in fields]
    for (_, before), (_, after) in zip(fields, read, strict=True):
        assert after == before or (isinstance(after, Upload) and after.content == before.content)


def test_a_boundary_is_never_in_the_contents() -> None:
    first, _ = write_form([("a", "x")], "seed")
    boundary = first.partition("boundary=")[2]
    second, raw = write_form([("a", f"\r\n--{boundary}--\r\n")], "seed")
    assert boundary not in second
    assert read_form(second, raw) == [("a", f"\r\n--{boundary}--\r\n")]


def test_names_cannot_forge_headers() -> None:
    content_type, raw = write_form([('a"\r\nX: y', Upload(b"d", 'f"\r\n.wav'))], "seed")
    assert b"\r\nX: y" not in raw
    [(_, file)] = read_form(content_type, raw)
    assert isinstance(file, Upload)
    assert file.content == b"d"


MEMBERS = {
    "n": integer(1, 10),
    "t": number(0, 1),
    "s": boolean,
    "m": string,
    "list": array(string),
    "f": upload_of(10, "a file"),
    "many": uploads_of(2, upload_of(10, "a file").check),
}


def test_a_form_says_what_json_says() -> None:
    file = Upload(b"1", "x")
    fields = [
        ("n", "2"), ("t", "0.5"), ("s", "true"), ("m", "5"), ("list[]", "a"), ("list", "b"), ("f", file),
        ("many", file), ("strange", "7"), ("strange_list[]", "7"),
    ]  # fmt: skip
    body = body_of_form(fields, MEMBERS)
    assert body == {
        "n": 2, "t": 0.5, "s": True, "m": "5", "list": ["a", "b"], "f": file, "many": [file], "strange": "7",
        "strange_list": ["7"],
    }  # fmt: skip
    assert has_uploads(body)
    assert not has_uploads({"n": 2, "list": ["a"]})
    again = form_of_body({**body, "nothing": None})
    assert body_of_form(again, MEMBERS) == body


@pytest.mark.parametrize(
    ("fields", "param"),
    [([("n", "two")], "n"), ([("s", "True")], "s"), ([("m", "a"), ("m", "b")], "m"), ([("x", "a"), ("x[]", "b")], "x")],
)
def test_faults_of_a_form_name_the_field(fields: list[tuple[str, str]], param: str) -> None:
    with pytest.raises(CallerFault) as caught:
        body_of_form(fields, MEMBERS)  # type: ignore[arg-type]
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("value", "status"),
    [(None, 400), ("text", 400), (Upload(b""), 400), (Upload(b"x" * 11), 413), ([], 400), ([Upload(b"1")] * 3, 400)],
)
def test_files_are_checked(value: object, status: int) -> None:
    name = "many" if isinstance(value, list) else "f"
    with pytest.raises(CallerFault) as caught:
        MEMBERS[name].check(name, value)
    assert (caught.value.status, caught.value.param) == (status, name)


async def test_a_form_of_aiohttp_is_read() -> None:
    data = aiohttp.FormData({"model": "m"})
    data.add_field("file", b"abc", filename="ab.wav", content_type="audio/wav")
    payload = data()
    raw = await payload.as_bytes()
    assert read_form(payload.headers["Content-Type"], raw) == [
        ("model", "m"),
        ("file", Upload(b"abc", "ab.wav", "audio/wav")),
    ]
