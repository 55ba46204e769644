"""Text from elsewhere made fit to show or to log: no secrets, no control characters, bounded."""

from __future__ import annotations

import re

# Keys and ids, unlike words such as `user-provided`, have a digit, or stars when they are shown masked: sk-****abcd.
_RANDOM = r"(?=[\w.-]{0,200}[\d*])"

_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
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
    (
        re.compile(r"(?i)\b(?:sk|pk|rk|gsk|xai|mghp|ghp|pplx|nvapi|hf|r8|fw)[-_]" + _RANDOM + r"[\w*-]{6,}"),
        "[redacted]",
    ),
    (re.compile(r"\bAIza[\w-]{20,}"), "[redacted]"),
    (re.compile(r"\bey[JK][\w-]{10,}\.[\w-]{4,}(?:\.[\w-]*)?"), "[redacted]"),
    (re.compile(r"(?i)\b(?:org|proj|user|acct)[-_]" + _RANDOM + r"[a-z0-9]{8,}"), "[redacted]"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"), "[redacted]"),
)


def redact(text: str) -> str:
    """Text without what looks like a secret: API keys, bearer tokens, organisation and project ids, e-mail
    addresses, credentials in URLs. Linear in the length of the text."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def clean(text: str, most: int) -> str:
    """A provider's text made fit to show: bounded, one line, no control characters, no secrets."""
    text = text[: most * 4]  # bounded before the patterns run; generous, so that no secret is cut in half and missed
    text = "".join(ch if ch.isprintable() else " " for ch in text)
    text = " ".join(redact(text).split())
    return text if len(text) <= most else text[: most - 3] + "..."
