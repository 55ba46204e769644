"""Where the console takes the links that let people in."""

from __future__ import annotations

from gateway.stores import Link, LinkPurpose

PATHS: tuple[tuple[LinkPurpose, str], ...] = (("invitation", "invite"), ("sign_in", "sign-in"), ("password", "reset"))
"""Where the console takes a link of each kind."""


def link_url(base: str, link: Link, token: str) -> str:
    """The address of a link. base: of the console, without a slash at its end."""
    return f"{base}/{dict(PATHS)[link.purpose]}/{token}"
