"""Tools of the Responses API that OpenAI's models know without a word of the caller's, as functions and back.

    shell         calls are `shell_call` with an `action` of several commands, results `shell_call_output`
    local_shell   the older form: `local_shell_call` with an `action` of one program, `local_shell_call_output`
    apply_patch   calls are `apply_patch_call` with an `operation` on one file, results `apply_patch_call_output`

The caller runs them. Other models have to be told what they are, which a function does.
Sources: OpenAI's OpenAPI document 2.3.0 (`FunctionShellCall`, `LocalShellToolCall`, `ApplyPatchToolCall` and their
outputs), its guides "Shell" and "Apply patch".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.wire.lenient import dict_of, dicts_of

Json = dict[str, Any]

CALLERS_TOOLS = frozenset({"function", "custom", "namespace"})
"""Types of tools that the caller runs and describes itself."""


@dataclass(frozen=True, slots=True)
class KnownTool:
    """description, parameters: of the function. holder: the member of a call item that holds the arguments.

    members: what a call item says besides its ids and status, for arguments and the text that they were read from.
    result: an output item as text, and whether it tells of a failure. statuses: what a call item may say of itself; the
    first stands for all others.
    """

    description: str
    parameters: Json
    holder: str
    members: Callable[[Json, str], Json]
    result: Callable[[Mapping[str, Any]], tuple[str, bool]]
    statuses: tuple[str, ...] = ("incomplete", "in_progress", "completed")

    def arguments(self, item: Mapping[str, Any]) -> Json:
        """The function's arguments for a call item."""
        known = self.parameters["properties"]
        held = dict_of(item.get(self.holder))
        return {key: value for key, value in held.items() if key in known and value is not None}


def function_of(name: str, tool: Mapping[str, Any]) -> tuple[str, Json] | None:
    """Description and parameters of the function for a tool of the type `name`; None for one that the caller does not
    run: a shell in a provider's container."""
    known = KNOWN_TOOLS.get(name)
    if known is None:
        return None
    environment = dict_of(tool.get("environment"))
    if environment.get("type") not in (None, "local"):
        return None
    skills = [
        f"- {skill.get('name')}: {skill.get('description')} (in {skill.get('path')})"
        for skill in dicts_of(environment.get("skills"))
    ]
    more = "\nInstructions for special tasks lie in these folders:\n" + "\n".join(skills) if skills else ""
    return known.description + more, known.parameters


def _object(required: list[str], **properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": required}


def _typed(kind: str, description: str) -> Json:
    return {"type": kind, "description": description}


def _texts(description: str) -> Json:
    return {"type": "array", "items": {"type": "string"}, "description": description}


def _count(value: Any) -> int | None:
    return value if type(value) is int else None


def _words(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else []
    return [one if isinstance(one, str) else orjson.dumps(one).decode() for one in listed]


# -- shell ------------------------------------------------------------------------------------------------------

_SHELL = _object(
    ["commands"],
    commands=_texts("The commands, each as a line of the shell; they run in this order."),
    timeout_ms=_typed("integer", "Milliseconds after which the commands are stopped."),
    max_output_length=_typed("integer", "The most characters of output to return."),
)


def _shell_members(given: Json, text: str) -> Json:
    commands = given.get("commands")
    limits = {name: _count(given.get(name)) for name in ("timeout_ms", "max_output_length")}
    action = {"commands": _words([commands] if isinstance(commands, str) else commands), **limits}
    return {"action": action, "environment": {"type": "local"}}


def _shell_result(item: Mapping[str, Any]) -> tuple[str, bool]:
    output = item.get("output")
    return output if isinstance(output, str) else orjson.dumps(output or []).decode(), False


# -- local_shell ------------------------------------------------------------------------------------------------

_LOCAL_SHELL = _object(
    ["command"],
    command=_texts("The program and its arguments."),
    working_directory=_typed("string", "Where to run it."),
    timeout_ms=_typed("integer", "Milliseconds after which it is stopped."),
)


def _local_shell_members(given: Json, text: str) -> Json:
    command = given.get("command")
    directory = given.get("working_directory")
    action: Json = {
        "type": "exec",
        "command": _words(["bash", "-lc", command] if isinstance(command, str) else command),
        "env": {},
        "timeout_ms": _count(given.get("timeout_ms")),
        "user": None,
        "working_directory": directory if isinstance(directory, str) else None,
    }
    return {"action": action}


# -- apply_patch ------------------------------------------------------------------------------------------------

_OPERATIONS = ("create_file", "update_file", "delete_file")
_DIFF = (
    "The change. To create a file: its lines, each after a '+'. To update one: hunks, each begun by a line '@@' that "
    "may name the function or class around it, then lines after ' ' (unchanged), '-' (taken out) or '+' (put in), with "
    "about three unchanged ones on either side and no line numbers. Nothing to delete one."
)
_PATCH = _object(
    ["type", "path"],
    type={"type": "string", "enum": list(_OPERATIONS), "description": "What is done to the file."},
    path=_typed("string", "The file."),
    diff=_typed("string", _DIFF),
)


def _patch_members(given: Json, text: str) -> Json:
    """An operation that makes no sense changes nothing: who applies it finds no file, and tells the model so."""
    kind, path, diff = given.get("type"), given.get("path"), given.get("diff")
    path = path if isinstance(path, str) else ""
    if kind == "delete_file":
        return {"operation": {"type": kind, "path": path}}
    if kind not in _OPERATIONS:
        kind, path = "update_file", ""
    return {"operation": {"type": kind, "path": path, "diff": diff if isinstance(diff, str) else text}}


def _patch_result(item: Mapping[str, Any]) -> tuple[str, bool]:
    status, output = item.get("status"), item.get("output")
    return output if isinstance(output, str) and output else str(status or "completed"), status == "failed"


KNOWN_TOOLS: Mapping[str, KnownTool] = {
    "shell": KnownTool(
        "Runs commands in a shell on the user's machine; returns what each of them wrote and how it ended.",
        _SHELL,
        "action",
        _shell_members,
        _shell_result,
    ),
    "local_shell": KnownTool(
        "Runs a program on the user's machine.",
        _LOCAL_SHELL,
        "action",
        _local_shell_members,
        _shell_result,
    ),
    "apply_patch": KnownTool(
        "Creates, updates or deletes one file on the user's machine.",
        _PATCH,
        "operation",
        _patch_members,
        _patch_result,
        ("in_progress", "completed"),
    ),
}
"""By the tool's type, which is the function's name too."""

NAMES_OF_CALLS: Mapping[str, str] = {f"{name}_call": name for name in KNOWN_TOOLS}
NAMES_OF_OUTPUTS: Mapping[str, str] = {f"{name}_call_output": name for name in KNOWN_TOOLS}
"""By the types of their items."""
