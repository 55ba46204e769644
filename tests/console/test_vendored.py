"""Code of others that the console ships is what its makers published, and says whose it is."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "gateway/console/static/vendor"


def test_every_file_is_the_one_that_was_published():
    notice = (FOLDER / "NOTICE").read_text()
    wanted = {path: digest for digest, path in re.findall(r"^([0-9a-f]{64})  (\S+)$", notice, re.MULTILINE)}
    found = {
        path.relative_to(FOLDER).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FOLDER.rglob("*.js")
    }
    assert found == wanted
    for name in re.findall(r"\((LICENSE\.\S+?)\)", notice):
        assert "Copyright" in (FOLDER / name).read_text()


def test_no_script_asks_anybody_else():
    """Addresses stand in comments and texts only; nothing is imported or fetched from them."""
    for path in FOLDER.parent.rglob("*.js"):
        text = path.read_text()
        asking = r"(import\s*\(?\s*|from\s*|fetch\s*\(\s*|importScripts\s*\()[\"'`](https?:)?//"
        assert not re.search(asking, text), path
