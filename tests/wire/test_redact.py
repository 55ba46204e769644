"""Secrets in texts from elsewhere, however they are spelled."""

from __future__ import annotations

import base64
import json
import random
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamFault
from gateway.wire.redact import MASK, Redactor, clean, redact, redact_credentials, redact_fault, redact_members

SECRET = "provider-Key/value+0042"


def in_base64(before: bytes, after: bytes, *, url: bool = False) -> str:
    encode = base64.urlsafe_b64encode if url else base64.b64encode
    return encode(before + SECRET.encode() + after).decode()


SPELLINGS = {
    "plain": SECRET,
    "upper case": SECRET.upper(),
    "mixed case": SECRET.swapcase(),
    "split by spaces": " ".join(SECRET),
    "over lines": "\r\n".join(SECRET[at : at + 5] for at in range(0, len(SECRET), 5)),
    "over lines, in JSON": json.dumps("\n".join(SECRET)),
    "with zero-width spaces": "\u200b".join(SECRET),
    "percent-encoded": quote(SECRET, safe=""),
    "percent-encoded, every character": "".join(f"%{byte:02X}" for byte in SECRET.encode()),
    "percent-encoded, in small letters": "".join(f"%{byte:02x}" for byte in SECRET.upper().encode()),
    "percent-encoded, every other character": "".join(
        f"%{ord(char):02X}" if at % 2 else char for at, char in enumerate(SECRET)
    ),
    "numbers of JSON": "".join(f"\\u{ord(char):04x}" for char in SECRET),
    "numbers of JSON in JSON": json.dumps("".join(f"\\u{ord(char):04X}" for char in SECRET.upper())),
    "numbers of other languages": "".join(f"\\x{ord(char):02x}" for char in SECRET),
    "numbers of HTML": "".join(f"&#{ord(char)};" if at % 2 else f"&#x{ord(char):x};" for at, char in enumerate(SECRET)),
    "percent-encoded, over lines": "\r\n".join(f"%{byte:02X}" for byte in SECRET.encode()),
    "hex": SECRET.encode().hex(),
    "HEX": SECRET.encode().hex().upper(),
    "base64": in_base64(b"", b""),
    "base64 of basic": in_base64(b"user:", b""),
    "base64 inside": in_base64(b"ab", b"tail"),
    "base64 for URLs": in_base64(b"x", b"y", url=True),
    "base64 over lines": "\n".join(in_base64(b"user:", b"")[at : at + 9] for at in range(0, 40, 9)),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_known_value_is_masked_in_every_spelling(spelling: str) -> None:
    text = SPELLINGS[spelling]
    masked = Redactor([SECRET]).mask(f"before <{text}> after")
    assert MASK in masked
    assert masked.startswith("before <")
    assert masked.endswith("> after")
    left = "".join(masked.split()).lower()
    for part in (text[:8], text[-8:]):
        assert "".join(part.split()).lower() not in left


@given(before=st.binary(max_size=7), after=st.binary(max_size=7))
def test_base64_is_found_at_every_alignment(before: bytes, after: bytes) -> None:
    text = in_base64(before, after)
    assert Redactor([SECRET]).mask(f"a {text}, b") == f"a {MASK}, b"


@pytest.mark.parametrize("value", ['quo"te\\d secret', "ümläut-secret", "two words secret", "a.b*c+(secret)[1]"])
def test_values_that_are_written_differently_in_json(value: str) -> None:
    redact_it = Redactor([value])
    percent = "".join(f"%{byte:02X}" for byte in value.encode())
    numbers = "".join(f"\\u{ord(char):04x}" for char in value)
    for text in (value, json.dumps(value), json.dumps(value, ensure_ascii=False), percent, numbers):
        masked = redact_it(text)
        assert "secret" not in masked
        assert MASK in masked


def test_the_longer_of_two_values_counts_and_short_ones_do_not() -> None:
    redact_it = Redactor(["secret", "secret-and-more", "abc"])
    assert redact_it.mask("secret-and-more, secret, abc") == f"{MASK}, {MASK}, abc"
    redact_it.add(["another-one"])
    assert redact_it.mask("secret another-one") == f"{MASK} {MASK}"


@given(st.text(max_size=200))
def test_other_text_stays_as_it_is(text: str) -> None:
    if SECRET[:3].lower() not in text.lower():
        assert Redactor([SECRET]).mask(text) == text


def test_hostile_text_is_masked_in_few_steps() -> None:
    """Long runs of white space between the characters of a secret are passed over once, not once for each start."""
    text = "p" + " " * 200_000 + "r" + "\\n" * 100_000
    assert Redactor([SECRET]).mask(text) == text
    for escaped in ("%70", "\\u0070", "%", "\\\\" * 9 + "u", "&#0000000"):
        assert Redactor([SECRET]).mask(escaped * 50_000) == escaped * 50_000
    text = (SECRET[:-1] + " ") * 5_000 + SECRET
    assert Redactor([SECRET]).mask(text).endswith(f" {MASK}")


@pytest.mark.parametrize(
    "unit", ['"', "\\", '\\"', '"headers":{', '"token":"', '\\"token\\":\\"', '"api_key":"\\', "\\u00"]
)
def test_hostile_bodies_are_read_in_few_steps(unit: str) -> None:
    """Were a run of these looked at once for each start, this would take hours."""
    assert redact_members(unit * 100_000) is not None


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"api_key":"a\\"b","x":1}', '{"api_key":"[redacted]","x":1}'),
        ('{"authorization" : "Basic', '{"authorization" : "[redacted]"'),
        (r'{"s":"{\"password\":\"x y\"}"}', r'{"s":"{\"password\":"[redacted]"}"}'),
        ('{"headers":{"a":"b","c":"d"},"x":{}}', '{"headers":"[redacted]","x":{}}'),
        ('{"max_tokens":5,"token_count":"7","tokens":"8"}', '{"max_tokens":5,"token_count":"7","tokens":"8"}'),
        (r'"\u0073\u006b\/\u0022\u005c\u00e4"', r'"sk/\u0022\u005c\u00e4"'),
    ],
)
def test_members_that_hold_secrets_by_name(text: str, masked: str) -> None:
    assert redact_members(text) == masked


def test_faults_of_providers_lose_the_operators_key() -> None:
    for text in SPELLINGS.values():
        fault = redact_fault(UpstreamFault(f"Bad key {text}", detail=text, headers={"x": text}), [SECRET])
        assert fault.message == f"Bad key {MASK}" or fault.message == f'Bad key "{MASK}"'
        assert MASK in fault.detail
        assert MASK in fault.headers["x"]
        assert fault.args == (fault.message,)


@pytest.mark.parametrize(
    "text",
    [
        "mghp_abcdefgh",
        "xmghp_abcdefghij",
        "MGHP_ABCDEFGH1234",
        "mgas_abcdefghijklmnop",
        "whsec_abcdefgh",
        "sk-proj-AbCdEf0123456789",
        "Bearer abc.def-ghi_jkl0123",
        "https://user:hunter22@host/",
        "/v1?key=something",
        '"password": "hunter2222"',
    ],
)
def test_what_looks_like_a_credential_goes(text: str) -> None:
    for masked in (redact(text), redact_credentials(text)):
        assert MASK in masked
        assert not any(part in masked for part in ("abcdefgh", "ABCDEF", "AbCdEf", "abc.def", "hunter2", "something"))


def test_ids_and_addresses_go_from_what_callers_see_only() -> None:
    text = "org-abcdef0123456789 and somebody@example.com"
    assert redact(text) == f"{MASK} and {MASK}"
    assert redact_credentials(text) == text


def test_text_is_bounded_after_it_was_redacted() -> None:
    chance = random.Random(3)
    for most in range(4, 60):
        text = "x" * chance.randrange(30) + " sk-abcdef0123456789 " + "y" * 40
        shown = clean(text, most)
        assert len(shown) <= most
        assert "abcdef" not in shown
