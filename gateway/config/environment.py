"""`${NAME}`, `${NAME:-default}` and `${file:PATH}` inside a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# `$${` is an escaped `${`; a `${` that the middle alternative does not close is reported.
_TOKEN = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_INSIDE = re.compile(r"(file:(?:(?!:-).)+|[A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_FILE = "file:"
_MOST_BYTES = 64 << 10
"""Of a file whose content is a value."""
_SECRET_NAME = re.compile(r"(?:key|secret|token|password|passphrase|passwd|credentials?|authorization)$", re.IGNORECASE)


@dataclass(slots=True)
class Expanded:
    """text: the value with everything filled in. values: what came in for each name, by name, defaults included.
    problems: sentences, empty when the text can be used."""

    text: str
    values: dict[str, str]
    problems: list[str]


def looks_secret(name: str) -> bool:
    """Whether a key or a variable of this name holds something that must not be shown."""
    return _SECRET_NAME.search(name) is not None


def is_file(name: str) -> bool:
    """Whether a name of `Expanded.values` is a file and not a variable: what files hold is always secret."""
    return name.startswith(_FILE)


def expand(text: str, env: Mapping[str, str], folder: Path) -> Expanded:
    """Fill in the variables and files of one value. As in a shell, the default of `${NAME:-default}` also stands in for
    a variable that is set but empty, or a file that is not there; what comes in is not expanded again. folder: where
    relative paths begin. Line ends at the end of a file do not count."""
    values: dict[str, str] = {}
    problems: list[str] = []

    def fill(match: re.Match[str]) -> str:
        if match.group() == "$${":
            return "${"
        inside = match.group(1)
        if inside is None:
            problems.append("${ is not closed with }; write $${ for the characters ${ themselves")
            return ""
        parts = _INSIDE.fullmatch(inside)
        if parts is None or "${" in inside:
            problems.append(
                "only ${NAME}, ${NAME:-default} and ${file:PATH} are understood, with letters, digits and _ in NAME"
            )
            return ""
        name, default = parts.groups()
        if is_file(name):
            value, problem = _read(folder / name.removeprefix(_FILE))
            if value is None and default is None:
                problems.append(problem)
                return ""
        else:
            value = env.get(name)
        if value is None and default is None:
            problems.append(
                f"the environment variable {name} is not set; set it, or write ${{{name}:-}} if it may be missing"
            )
            return ""
        value = default if default is not None and not value else value or ""
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            problems.append(f"the environment variable {name} is not UTF-8 text")
            return ""
        values[name] = value
        return value

    return Expanded(_TOKEN.sub(fill, text), values, problems)


def _read(path: Path) -> tuple[str | None, str]:
    """The content of a file without line ends at its end; or None, and why."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            return None, f"the file {path} is larger than {_MOST_BYTES} bytes"
        return data.decode().rstrip("\r\n"), ""
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        return None, f"the file {path} cannot be read: {reason or type(error).__name__}"
