"""Subkeys, key texts, session tokens and voucher codes: everything about secrets that needs no database.

A key reads `PREFIX` + 30 base62 characters + `_` + 6 base62 characters of checksum. The underscore keeps secret
scanners from taking `mghp_...` for somebody else's token, and the checksum (CRC-32 of all that stands before the
underscore) turns away typing errors and guesses before anything is looked up. 30 characters hold 178 random bits,
so a fast keyed hash is enough: slow hashes protect guessable secrets, and cost every request.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_LENGTH = 30
CHECK_LENGTH = 6
KEY_PEPPER = "key-pepper"
VOUCHER_PEPPER = "voucher-pepper"
SESSION_PEPPER = "session-pepper"
LINK_PEPPER = "link-pepper"
DATABASE_MARK = "database-mark"
ADMIN_SECRET = "admin-secret"
COMPACTION_KEY = "compaction-key"
"""The purposes of subkeys. A label is part of the data: changing one makes everything under it unreadable."""
_CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O or U, so that a printed code can be read back."""
_CODE_LENGTH = 20
_CODE_MENDING = str.maketrans({"I": "1", "L": "1", "O": "0", "-": "", " ": ""})


def derive(secret: bytes, label: str, length: int = 32, *, version: int = 1) -> bytes:
    """A subkey of `length` bytes for one purpose (HKDF with SHA-256, RFC 5869, without salt).

    label: the purpose, one of the constants above; two purposes never share a subkey. version: of the purpose. What
    was made under one version is read under that version for as long as it exists; a purpose whose subkey has to
    change gets the next one, and its readers learn to try both.
    """
    info = label if version == 1 else f"{label}/v{version}"
    key = hmac.digest(bytes(32), secret, "sha256")
    block = made = b""
    while len(made) < length:
        block = hmac.digest(key, block + info.encode() + bytes((len(made) // 32 + 1,)), "sha256")
        made += block
    return made[:length]


def random_text(length: int) -> str:
    """`length` random base62 characters from the operating system's generator."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def checksum(text: str) -> str:
    """Six base62 characters of CRC-32 over ASCII `text`."""
    rest = zlib.crc32(text.encode("ascii"))
    out = ""
    for _ in range(CHECK_LENGTH):
        rest, digit = divmod(rest, 62)
        out = ALPHABET[digit] + out
    return out


def new_key(prefix: str) -> str:
    """A fresh key text."""
    body = prefix + random_text(SECRET_LENGTH)
    return body + "_" + checksum(body)


def well_formed(plain: str, prefix: str) -> bool:
    """Whether a text is a key of this prefix with a right checksum; looks at no secret."""
    if len(plain) != len(prefix) + SECRET_LENGTH + 1 + CHECK_LENGTH or not plain.startswith(prefix):
        return False
    if not plain.isascii() or plain[-CHECK_LENGTH - 1] != "_":
        return False
    return hmac.compare_digest(plain[-CHECK_LENGTH:], checksum(plain[: -CHECK_LENGTH - 1]))


def label_of(plain: str, prefix: str) -> str:
    """What may be shown of a key: prefix, dots, last four characters."""
    return prefix + "..." + plain[-4:]


def digest(pepper: bytes, plain: str) -> bytes:
    """What is stored of a key or a code: HMAC-SHA-256 under a subkey of the server's secret."""
    return hmac.digest(pepper, plain.encode("utf-8", "surrogatepass"), hashlib.sha256)


def new_token() -> str:
    """A fresh token of a session or a link, 256 random bits."""
    return secrets.token_urlsafe(32)


def new_code() -> str:
    """A fresh voucher code, 100 random bits, in groups of five."""
    text = "".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_LENGTH))
    return "-".join(text[i : i + 5] for i in range(0, _CODE_LENGTH, 5))


def read_code(text: str) -> str | None:
    """A typed voucher code in its one normal form, or None when it cannot be one."""
    code = text[:64].upper().translate(_CODE_MENDING)
    if len(code) != _CODE_LENGTH or any(letter not in _CODE_ALPHABET for letter in code):
        return None
    return code
