"""Media by URL, for providers that take bytes only.

`addresses`, `urls`, `policy`, `sniff` and `body` judge and rewrite, without I/O; `client` and `download` fetch;
`call_media` joins both for one call. Whatever the gateway fetches because a request says so, it fetches through here.
"""

from __future__ import annotations

from gateway.fetch.addresses import is_public
from gateway.fetch.call_media import CallMedia
from gateway.fetch.client import Media, MediaFetcher
from gateway.fetch.download import Allowance, FetchProblem
from gateway.fetch.guard import Guard
from gateway.fetch.links import Links
from gateway.fetch.pages import PageFetcher

__all__ = [
    "Allowance",
    "CallMedia",
    "FetchProblem",
    "Guard",
    "Links",
    "Media",
    "MediaFetcher",
    "PageFetcher",
    "is_public",
]
