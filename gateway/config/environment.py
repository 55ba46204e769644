"""`${NAME}` and `${NAME:-default}` inside a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# `$${` is an escaped `${`; a `${` that the middle alternative does not close is reported.
_TOKEN = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
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


def expand(text: str, env: Mapping[str, str]) -> Expanded:
    """Fill in the variables of one value. As in a shell, the default of `${NAME:-default}` also stands in for a
    variable that is set but empty; what comes in is not expanded again."""
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
            problems.append("only ${NAME} and ${NAME:-default} are understood, with letters, digits and _ in NAME")
            return ""
        name, default = parts.groups()
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
