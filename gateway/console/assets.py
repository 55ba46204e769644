"""The console's own files: read once, packed once, and served under an address that changes with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from gateway.console.answers import etag_of, pack, send
from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.server.request_context import RequestContext

FOLDER = Path(__file__).parent / "static"
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, with its form in gzip (None when that is not smaller)."""

    kind: str
    body: bytes
    packed: bytes | None
    etag: str


class Assets:
    """All static files. `version` is a hash of all of them and stands in every address, before the path: modules may
    import each other by relative paths, and whatever changes has a new address."""

    def __init__(self, folder: Path = FOLDER) -> None:
        files = sorted(path for path in folder.rglob("*") if path.suffix in KINDS)
        digest = hashlib.sha256()
        self._files: dict[str, Asset] = {}
        for path in files:
            name, body = path.relative_to(folder).as_posix(), path.read_bytes()
            digest.update(f"{name}\0{len(body)}\0".encode() + body)
            self._files[name] = Asset(KINDS[path.suffix], body, pack(body), etag_of(body))
        self.version = digest.hexdigest()[:12]

    def url(self, name: str) -> str:
        """The address of a file. Raises KeyError when there is none of this name."""
        self._files[name]
        return f"/static/{self.version}/{name}"

    def answer(self, context: RequestContext) -> web.Response:
        """The file that was asked for. Raises CallerFault 404.

        Under the address of another version (an older page is open, or another worker is newer) it is the file of now,
        which then must not be kept."""
        asset = self._files.get(context.values["name"])
        if asset is None:
            raise CallerFault("There is no such file.", status=404, code="not_found")
        cache = _FOR_EVER if context.values["version"] == self.version else _ASK_AGAIN
        return send(context, asset.body, kind=asset.kind, cache=cache, packed=asset.packed, etag=asset.etag)
