"""The file `.env` beside a configuration: variables for `${NAME}` in it. The process's environment counts more.

# comment
OPENAI_API_KEY=sk-...
export NAME='as it is'
OTHER="with \\n, \\" and \\\\"      # comment
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gateway.errors import ConfigFault

FILE = ".env"
_LARGEST = 1024 * 1024
_LINE = re.compile(
    r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*"
    r"(?:'(?P<plain>[^']*)'|\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<bare>[^'\"\s#][^#]*?|))\s*(?:(?<=\s)#.*|)"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def with_dotenv(folder: Path, env: Mapping[str, str]) -> Mapping[str, str]:
    """The variables of `folder`'s `.env`, if there is one, and over them those of the process. Raises ConfigFault."""
    path = folder / FILE
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return env
    except OSError as error:
        raise ConfigFault([f"{path}: cannot be read: {error.strerror}"]) from None
    return {**parse_dotenv(raw, str(path)), **env}


def parse_dotenv(raw: bytes, name: str) -> dict[str, str]:
    """The variables of such a file. Raises ConfigFault with every line that is none; values are never repeated."""
    if len(raw) > _LARGEST:
        raise ConfigFault([f"{name}: larger than {_LARGEST} bytes"])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigFault([f"{name}: is not UTF-8 text"]) from None
    found: dict[str, str] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line)
        if parts is None:
            problems.append(f"{name}:{number}: expected NAME=VALUE, with quotes around a value that has spaces or #")
            continue
        plain, quoted, bare = parts["plain"], parts["quoted"], parts["bare"]
        if quoted is not None:
            plain = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted)
        found[parts["name"]] = plain if plain is not None else (bare or "").strip()
    if problems:
        raise ConfigFault(problems)
    return found


def dotenv_line(name: str, value: str) -> str:
    """A line that sets a variable."""
    if re.fullmatch(r"[\w./:@%+,=-]*", value, re.ASCII) and not value.startswith("="):
        return f"{name}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'{name}="{escaped}"'
