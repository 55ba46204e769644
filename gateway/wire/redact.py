"""Text from elsewhere made fit to show or to log: no secrets, no control characters, bounded.

Secrets are known by their shape (`redact`: what looks like a credential or an id of the operator's) or by their value
(`Redactor`, `redact_fault`): an upstream that repeats a key may write it in capitals, in base64, or broken over lines.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

from gateway.errors import Fault

MASK = "[redacted]"

_LEAST_SECRET = 6
"""Characters. A shorter value would mask ordinary words; an encoded one is looked for from `_LEAST_ENCODED` on."""

_LEAST_ENCODED = 10

# Keys and ids, unlike words such as `user-provided`, have a digit, or stars when they are shown masked: sk-****abcd.
_RANDOM = r"(?=[\w.-]{0,200}[\d*])"

_CREDENTIALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)[^\s/@]{1,200}@"), r"\1[redacted]@"),
    (re.compile(r"(?i)\b(bearer|basic) [\w.~+/=*-]{6,}"), r"\1 [redacted]"),
    (re.compile(r"(?i)([?&;](?:api[_-]?key|key|token|access_token|sig|signature)=)[^\s&\"']+"), r"\1[redacted]"),
    (
        re.compile(
            r"(?i)((?:api[ _-]?key|secret|password|token)[\"']?(?: provided)?\s?[:=]\s?[\"']?)"
            + _RANDOM
            + r"[\w*.-]{8,}"
        ),
        r"\1[redacted]",
    ),
    # Our own: callers' keys, the admin secret; and the secrets of webhooks.
    (re.compile(r"(?i)(?:mghp|mgas|whsec)_[\w-]{8,}"), MASK),
    (re.compile(r"(?i)\b(?:sk|pk|rk|gsk|xai|ghp|pplx|nvapi|hf|r8|fw)[-_]" + _RANDOM + r"[\w*-]{6,}"), MASK),
    (re.compile(r"\bAIza[\w-]{20,}"), MASK),
    (re.compile(r"\bey[JK][\w-]{10,}\.[\w-]{4,}(?:\.[\w-]*)?"), MASK),
)
_IDENTITIES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b(?:org|proj|user|acct)[-_]" + _RANDOM + r"[a-z0-9]{8,}"), MASK),
    (re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"), MASK),
)

_BREAKS = re.compile(r"(?:[\s\u200b-\u200f\u2060\ufeff]|\\[nrt])+")
"""What may stand between the characters of a secret that is broken over lines, also as JSON writes it."""

_REFERENCE = re.compile(r"\\{1,8}(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))|&#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}));", re.I)
"""A character by its number, as JSON, other languages and HTML write it."""

_LAST_CHARACTER = 0x10FFFF

_SPACE = r"[\s\u200b-\u200f\u2060\ufeff]"
_BETWEEN = rf"(?:{_SPACE}|\\[nrt])*"
_ESCAPED_BETWEEN = rf"(?:{_SPACE}|\\{{1,8}}(?:[nrt]|u00(?:20|0[9ad]))|%(?:20|0[9ad]))*"
_ENCODED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")


def redact(text: str) -> str:
    """Text without what looks like a secret: API keys, bearer tokens, organisation and project ids, e-mail
    addresses, credentials in URLs. Linear in the length of the text."""
    # First: a part of a key may look like an id, a URL's password like an address.
    text = redact_credentials(text)
    for pattern, replacement in _IDENTITIES:
        text = pattern.sub(replacement, text)
    return text


def redact_credentials(text: str) -> str:
    """`redact`, but ids and addresses stay: for the operator's own log."""
    for pattern, replacement in _CREDENTIALS:
        text = pattern.sub(replacement, text)
    return text


_SECRET_NAME = r"[\w-]{0,40}(?:authorization|cookie|api[-_]?key|secret|password|token)"
_SECRET_MEMBERS = (
    re.compile(rf'(?i)("{_SECRET_NAME}"\s*:\s*)"(?:[^"\\]|\\.)*"?'),
    # In JSON that stands in a string, as the arguments of a tool call do.
    re.compile(rf'(?i)(\\{{1,32}}"{_SECRET_NAME}\\{{1,32}}"\s*:\s*)\\{{1,32}}"[^"\\]*(?:\\{{1,32}}")?'),
    # Headers for somebody else's server carry what it asks for, by whatever name.
    re.compile(r'(?i)("headers\\{0,32}"\s*:\s*)\{[^{}]*\}?'),
)
_PLAIN_ESCAPE = re.compile(r"\\u00([2-7][0-9a-fA-F])|\\/")


def redact_members(text: str) -> str:
    """JSON, whole or cut off, or events of it, without the values of members that hold secrets by their name. What
    stands as `\\u0041` for no reason is written plainly, so that other redaction finds it. Linear in the length."""
    text = _PLAIN_ESCAPE.sub(_plain, text)
    for pattern in _SECRET_MEMBERS:
        text = pattern.sub(rf'\1"{MASK}"', text)
    return text


def _plain(found: re.Match[str]) -> str:
    char = chr(int(found[1], 16)) if found[1] else "/"
    return found[0] if char in '"\\' else char


def clean(text: str, most: int) -> str:
    """A provider's text made fit to show: bounded, one line, no control characters, no secrets."""
    text = text[: most * 4]  # bounded before the patterns run; generous, so that no secret is cut in half and missed
    text = "".join(ch if ch.isprintable() else " " for ch in text)
    text = " ".join(redact(text).split())
    return text if len(text) <= most else text[: most - 3] + "..."


_Needle = tuple[str, str, re.RegexFlag, bool]


class Redactor:
    """Masks known secrets in text, however they are spelled: as they are, in other case, as JSON writes them, with any
    of their characters percent-encoded or by their number (`\\u0073`, `&#115;`), in hex or base64 (the whole run of it,
    since it may hold a user's name beside the secret), and broken by white space. Values shorter than six characters
    are left alone.

    Nothing is ever forgotten: a secret that was taken out of the configuration may still be valid, and in use.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: frozenset[str] = frozenset()
        # By length: (what to look for in the text without breaks and in lower case, the pattern to mask then, its
        # flags, whether it stands in an encoded run). Compiled when they are needed, which is nearly never.
        self._needles: list[_Needle] = []
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        """Mask these values, too."""
        fresh = {value for value in values if len("".join(value.split())) >= _LEAST_SECRET} - self._values
        self._values |= fresh
        needles = [needle for value in fresh for needle in _needles(value)]
        self._needles = sorted([*self._needles, *needles], key=lambda needle: len(needle[0]))

    def mask(self, text: str) -> str:
        """The text without the values. Linear in its length for each value; cheap where none stands in it."""
        if not self._needles or len(text) < len(self._needles[0][0]):
            return text
        plain = _BREAKS.sub("", text).lower()
        # The longest first: of two values, one may begin with the other.
        for needle, source, flags, encoded in reversed(self._needles):
            if len(needle) <= len(plain) and needle in plain:
                pattern = re.compile(source, flags)
                text = _mask_encoded(pattern, text) if encoded else pattern.sub(MASK, text)
        if "%" in text or "\\u" in text or "\\x" in text or "&#" in text:
            text = self._mask_escaped(text)
        return text

    def _mask_escaped(self, text: str) -> str:
        """The text without the values any of whose characters are escaped, however many of them."""
        plain = _BREAKS.sub("", _REFERENCE.sub(_referred, unquote(text, errors="replace"))).lower()
        for value in sorted(self._values, key=len, reverse=True):
            if "".join(value.split()).lower() in plain:
                text = _escaped_pattern(value).sub(MASK, text)
        return text

    def __call__(self, text: str) -> str:
        """The text without the values and without anything shaped like a credential."""
        return redact_credentials(self.mask(text))


def redact_fault(fault: Fault, secrets: Iterable[str]) -> Fault:
    """The same fault with every occurrence of `secrets` masked in its texts, as `Redactor` knows them. By value: what
    only looks like a secret was already removed when the fault was read."""
    mask = Redactor(secrets).mask
    fault.message = mask(fault.message)
    fault.args = (fault.message,)
    fault.detail = mask(fault.detail)
    fault.type = mask(fault.type)
    fault.code = None if fault.code is None else mask(fault.code)
    fault.param = None if fault.param is None else mask(fault.param)
    fault.headers = {name: mask(value) for name, value in fault.headers.items()}
    return fault


def _needles(value: str) -> list[_Needle]:
    # As JSON writes it: with its quotes and backslashes escaped.
    spelled = {value, quote(value, safe="", errors="replace")}
    spelled |= {json.dumps(value, ensure_ascii=plain)[1:-1] for plain in (True, False)}
    found = [_needle(one, ignore_case=True, encoded=False) for one in sorted(spelled)]
    raw = value.encode("utf-8", "replace")
    if len(raw) >= _LEAST_ENCODED:
        found.append(_needle(raw.hex(), ignore_case=True, encoded=True))
        cores = {core for at in range(3) for core in _base64_cores(raw, at)}
        found += [_needle(core, ignore_case=False, encoded=True) for core in sorted(cores)]
    return found


def _needle(text: str, *, ignore_case: bool, encoded: bool) -> _Needle:
    text = "".join(text.split())
    pattern = _BETWEEN.join(re.escape(char) for char in text)
    return _BREAKS.sub("", text).lower(), pattern, re.IGNORECASE if ignore_case else re.NOFLAG, encoded


def _referred(found: re.Match[str]) -> str:
    four, two, base16, base10 = found.groups()
    number = int(base10) if base10 else int(four or two or base16, 16)
    return chr(number) if number <= _LAST_CHARACTER else found[0]


def _escaped_pattern(value: str) -> re.Pattern[str]:
    """Matches a value each of whose characters is plain, percent-encoded or told by its number, in any case."""
    return re.compile(_ESCAPED_BETWEEN.join(_any_spelling(char) for char in "".join(value.split())), re.IGNORECASE)


def _any_spelling(char: str) -> str:
    spelled = {re.escape(char)}
    for one in {char, char.lower(), char.upper()}:
        spelled.add("".join(f"%{byte:02x}" for byte in one.encode("utf-8", "replace")))
        units = one.encode("utf-16-be", "replace")
        spelled.add("".join(rf"\\{{1,8}}u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)))
        for number in map(ord, one):
            spelled |= {f"&#0{{0,6}}{number};", f"&#x0{{0,5}}{number:x};"}
            if number < 256:
                spelled.add(rf"\\{{1,8}}x{number:02x}")
    return f"(?:{'|'.join(sorted(spelled))})"


def _base64_cores(raw: bytes, at: int) -> tuple[str, str]:
    """The characters of base64 that are the same whatever stands around `raw`, when `at` (modulo 3) bytes stand before
    it; in both alphabets."""
    text = base64.b64encode(b"\0" * at + raw).decode().rstrip("=")
    first = -(-at * 8 // 6)
    last = (at + len(raw)) * 8 // 6
    core = text[first:last]
    return core, core.translate(str.maketrans("+/", "-_"))


def _mask_encoded(pattern: re.Pattern[str], text: str) -> str:
    out: list[str] = []
    done = 0
    for found in pattern.finditer(text):
        start, end = found.span()
        if start < done:
            continue
        while start > done and text[start - 1] in _ENCODED:
            start -= 1
        while end < len(text) and text[end] in _ENCODED:
            end += 1
        out += (text[done:start], MASK)
        done = end
    return "".join(out) + text[done:]
