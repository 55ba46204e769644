"""The one reader of media URLs: what it returns is what is checked, and what is connected to. Pure.

Sources: RFC 3986 for the syntax; the WHATWG URL standard for hosts that end in a number. Where the two disagree about
what a URL means, it is refused, because a second reader would see another host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, urljoin

MAX_URL = 8192
"""Characters of a URL at most."""

_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
# The characters that IDNA 2003 (Python's codec) and IDNA 2008 (browsers) read differently.
_AMBIGUOUS = frozenset("\u00df\u03c2\u200c\u200d")
_IN_PATH = "/:@!$&'()*+,;=-._~%[]"


class UrlProblem(ValueError):
    """Why a URL is not fetched, as half a sentence for the caller; never repeats the URL."""


@dataclass(slots=True, frozen=True)
class MediaUrl:
    """A URL, taken apart. host: lower-case ASCII name without a final dot, or an address (IPv6 without brackets).
    literal: the host is an address. target: path and query as the request line has them."""

    secure: bool
    host: str
    port: int
    target: str
    literal: bool

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.authority}{self.target}"


def parse_url(text: str) -> MediaUrl:
    """Read an absolute http(s) URL. Raises UrlProblem. Which hosts and ports are allowed is not judged here."""
    _check_characters(text)
    parts = _URL.fullmatch(text)
    if parts is None:
        raise UrlProblem("only URLs that begin with http:// or https:// are fetched")
    scheme, authority, path, query = parts.groups()
    if "@" in authority:
        raise UrlProblem("a URL with user information (`user@`) is not fetched")
    pieces = _AUTHORITY.fullmatch(authority)
    if pieces is None:
        raise UrlProblem("the URL's host or port is not valid")
    host, literal = _read_host(pieces[1])
    secure = scheme.lower() == "https"
    port = int(pieces[2]) if pieces[2] else (443 if secure else 80)
    if not 1 <= port <= 65535:
        raise UrlProblem("the URL's port is not valid")
    target = quote(path, safe=_IN_PATH) or "/"
    if query is not None:
        target += "?" + quote(query, safe=_IN_PATH + "?")
    return MediaUrl(secure, host, port, target, literal)


def follow(url: MediaUrl, location: str) -> MediaUrl:
    """Where a redirect from `url` leads. Raises UrlProblem, also when it leads from https to http."""
    _check_characters(location)
    try:
        joined = urljoin(str(url), location)
    except ValueError:
        raise UrlProblem("the URL redirects to something that is not a URL") from None
    # The joined text is read anew from its beginning, so it does not matter how urljoin understood it.
    following = parse_url(joined)
    if url.secure and not following.secure:
        raise UrlProblem("the URL redirects from https to http")
    return following


def _check_characters(text: str) -> None:
    if not text or len(text) > MAX_URL:
        raise UrlProblem(f"a URL has 1 to {MAX_URL} characters")
    # Browsers read a backslash as a slash and drop line breaks, other readers do neither.
    if not text.isprintable() or " " in text or "\\" in text:
        raise UrlProblem("a URL has no spaces, backslashes or control characters")


def _read_host(text: str) -> tuple[str, bool]:
    if text.startswith("["):
        try:
            address = IPv6Address(text[1:-1])
        except ValueError:
            address = None
        if address is None or address.scope_id is not None:
            raise UrlProblem("the URL's host is not a valid IPv6 address")
        return str(address), True
    name = _to_ascii(text).lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlProblem("the URL's host is not a valid name")
    if not _NUMBER.fullmatch(labels[-1]):
        return name, False
    # 2130706433, 0x7f.1, 0177.0.0.1 and 127.1 are 127.0.0.1 to some readers and names to others.
    try:
        return str(IPv4Address(name)), True
    except ValueError:
        raise UrlProblem("an IPv4 address is written as four decimal numbers") from None


def _to_ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        if _AMBIGUOUS.isdisjoint(host):
            return host.encode("idna").decode("ascii")
    except UnicodeError:
        pass
    raise UrlProblem("the URL's host cannot be converted to ASCII; write it in its xn-- form")
