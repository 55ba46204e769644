"""The header `Stripe-Signature`: `t=1492774577,v1=5257a8...,v0=...`.

A `v1` is the hexadecimal HMAC-SHA-256 of `t`, a dot and the raw body, under the destination's secret. While a secret
is being rolled there are several, one for each secret. Other schemes are no proof. (Stripe's documentation, "Verify
webhook signatures manually".)
"""

from __future__ import annotations

import hashlib
import hmac


def sign(secret: str, body: bytes, at: int) -> str:
    """The header for `body`, signed at `at` (unix seconds)."""
    return f"t={at},v1={_digest(secret, str(at), body)}"


def is_authentic(secret: str, header: str, body: bytes, *, now: float, tolerance: int) -> bool:
    """Whether `body` was signed under `secret` less than `tolerance` seconds from `now`. Never with an empty secret,
    because everybody can sign with that."""
    if not secret:
        return False
    times: list[str] = []
    signatures: list[str] = []
    for item in header.split(","):
        name, _, value = item.strip().partition("=")
        if name == "t":
            times.append(value)
        elif name == "v1":
            signatures.append(value)
    if len(times) != 1 or not times[0].isascii() or not times[0].isdigit() or len(times[0]) > 12:
        return False
    if abs(now - int(times[0])) > tolerance:
        return False
    expected = _digest(secret, times[0], body).encode()
    # All are compared, each in constant time, so that the time taken tells nothing about any of them.
    matches = [hmac.compare_digest(expected, signature.encode("utf-8", "replace")) for signature in signatures]
    return any(matches)


def _digest(secret: str, at: str, body: bytes) -> str:
    return hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
