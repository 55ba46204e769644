"""`response_format`: native structured outputs, a forced tool, or an instruction.

- `json_schema` on a model with structured outputs: `output_config.format`. That mode enforces a part of JSON Schema;
  what it cannot enforce is moved into the schema's descriptions and reported when the caller asked for `strict`.
- `json_schema` elsewhere, or with a schema that the native mode cannot hold (recursion, open objects): a tool whose
  input is the schema, which the model is made to call. Its input becomes the answer's content.
- `json_object`: an instruction, since Anthropic has no mode for "any JSON"; a code fence is taken off the answer.

Source: Anthropic's page on structured outputs ("JSON Schema limitations") and on tool use ("JSON mode").
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import as_dict

from .draft import Draft, refuse
from .thinking import wants_budget

JSON_TOOL = "json_answer"
INSTRUCTION = "Answer with one valid JSON object and nothing else: no text before or after it, no code fence around it."

_UNENFORCED = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "maxItems", "uniqueItems", "contains", "minContains", "maxContains", "minProperties", "maxProperties",
    "patternProperties", "propertyNames", "dependentRequired",
)  # fmt: skip
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
_BEYOND = ("not", "if", "then", "else", "dependentSchemas", "unevaluatedProperties", "$dynamicRef", "prefixItems")


def add_response_format(draft: Draft) -> None:
    """Write what `response_format` asks for. Call it after the tools and before thinking."""
    wanted = draft.body.get("response_format")
    if wanted is None:
        return
    kind = as_dict(wanted, "response_format").get("type")
    if kind == "text":
        return
    if kind == "json_object":
        _instruct(draft, INSTRUCTION)
        draft.json_text = True
    elif kind == "json_schema":
        spec = as_dict(wanted.get("json_schema"), "response_format.json_schema")
        schema = as_dict(spec.get("schema", {"type": "object"}), "response_format.json_schema.schema")
        _add_schema(draft, spec, schema)
    else:
        raise refuse("response_format.type", "must be text, json_object or json_schema")


def _instruct(draft: Draft, text: str) -> None:
    draft.out["system"] = [*draft.out.get("system", []), {"type": "text", "text": text}]


def _add_schema(draft: Draft, spec: dict[str, Any], schema: dict[str, Any]) -> None:
    unenforced: set[str] = set()
    native = draft.quirks.structured and not _recursive(schema)
    fitted = _fit(schema, unenforced) if native else None
    if fitted is not None:
        if spec.get("strict"):
            for keyword in sorted(unenforced):
                draft.report(
                    f"response_format.json_schema.schema.{keyword}",
                    "Anthropic does not enforce this keyword; it is only told to the model",
                )
        given = draft.body.get("output_config")
        draft.out["output_config"] = {
            **(given if isinstance(given, dict) else {}),
            "format": {"type": "json_schema", "schema": fitted},
        }
        return
    choice = draft.out.get("tool_choice", {}).get("type")
    if choice in ("any", "tool"):
        # The caller already has its answer forced into one of its own tools; that cannot be JSON content as well.
        draft.report("response_format", "on this model a forced tool_choice and a JSON schema exclude each other")
    elif draft.quirks.forced_tool == "never" or (draft.quirks.forced_tool != "yes" and wants_budget(draft)):
        _instruct(draft, f"{INSTRUCTION} It must match this JSON Schema: {_dump(schema)}")
        draft.json_text = True
        draft.report("response_format", "here this schema can only be given as an instruction, without any guarantee")
    else:
        _force_tool(draft, spec, schema)


def _force_tool(draft: Draft, spec: dict[str, Any], schema: dict[str, Any]) -> None:
    tools = draft.out.get("tools", [])
    name = JSON_TOOL
    while any(tool.get("name") == name for tool in tools):
        name += "_"
    wrapped = schema if schema.get("type") == "object" else {"type": "object", **schema}
    if schema.get("type") not in (None, "object"):
        raise refuse("response_format.json_schema.schema.type", "must be 'object' on this model")
    about = spec.get("description")
    tool = {
        "name": name,
        "description": f"Gives the final answer as JSON. {about if isinstance(about, str) else ''}".strip(),
        "input_schema": wrapped,
    }
    free = tools and draft.out.get("tool_choice", {}).get("type") != "none"
    choice = {"type": "any"} if free else {"type": "tool", "name": name}
    draft.out["tools"] = [*tools, tool]
    draft.out["tool_choice"] = {**choice, "disable_parallel_tool_use": True} if not free else choice
    if free and draft.body.get("parallel_tool_calls") is False:
        draft.out["tool_choice"]["disable_parallel_tool_use"] = True
    draft.json_tool = name


def _dump(schema: dict[str, Any]) -> str:
    try:
        return orjson.dumps(schema).decode()
    except TypeError:
        raise refuse("response_format.json_schema.schema", "nests too deeply") from None


def _recursive(schema: dict[str, Any]) -> bool:
    """Whether a definition leads back to itself; `#` is the schema as a whole."""
    named: dict[str, Any] = {"#": {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}}
    for home in ("$defs", "definitions"):
        definitions = schema.get(home)
        if isinstance(definitions, dict):
            named.update({f"#/{home}/{name}": node for name, node in definitions.items()})
    links = {name: _refs(node) for name, node in named.items()}
    # Taken away is, again and again, what nothing refers to any more: what is left at the end refers to itself.
    wanted = dict.fromkeys(links, 0)
    for found in links.values():
        for name in found & wanted.keys():
            wanted[name] += 1
    free = [name for name, count in wanted.items() if not count]
    gone = 0
    while free:
        gone += 1
        for name in links[free.pop()] & wanted.keys():
            wanted[name] -= 1
            if not wanted[name]:
                free.append(name)
    return gone < len(links)


def _refs(node: Any) -> set[str]:
    found: set[str] = set()
    todo = [node]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                found.add(node["$ref"])
            todo += node.values()
        elif isinstance(node, list):
            todo += node
    return found


def _fit(node: Any, unenforced: set[str]) -> dict[str, Any] | None:
    """The schema as the native mode takes it, or None when it cannot hold it. Notes what it will not enforce."""
    if not isinstance(node, dict) or any(key in node for key in _BEYOND):
        return None
    out = dict(node)
    told = {key: out.pop(key) for key in _UNENFORCED if key in out}
    if out.get("format") is not None and out["format"] not in _FORMATS:
        told["format"] = out.pop("format")
    if out.get("minItems") not in (None, 0, 1):
        told["minItems"] = out.pop("minItems")
    if told:
        unenforced.update(told)
        hint = "{" + ", ".join(f"{key}: {_short(value)}" for key, value in told.items()) + "}"
        about = out.get("description")
        out["description"] = f"{about} {hint}" if isinstance(about, str) and about else hint
    kind = out.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in out:
        if out.get("additionalProperties", False) is not False:
            return None  # an open object: only the forced tool can express it
        out["additionalProperties"] = False
    return _fit_children(out, unenforced)


def _fit_children(out: dict[str, Any], unenforced: set[str]) -> dict[str, Any] | None:
    for key in ("properties", "$defs", "definitions"):
        children = out.get(key)
        if isinstance(children, dict):
            fitted = {name: _fit(child, unenforced) for name, child in children.items()}
            if None in fitted.values():
                return None
            out[key] = fitted
    for key in ("anyOf", "allOf", "oneOf"):
        branches = out.get(key)
        if isinstance(branches, list):
            fits = [_fit(branch, unenforced) for branch in branches]
            if None in fits:
                return None
            out[key] = fits
    if "oneOf" in out:
        if "anyOf" in out:
            return None
        # anyOf is the form Anthropic knows; that branches must exclude each other is the caller's own knowledge.
        out["anyOf"] = out.pop("oneOf")
    if isinstance(out.get("items"), dict):
        out["items"] = _fit(out["items"], unenforced)
        if out["items"] is None:
            return None
    return out


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else _dump(value)
    return text if len(text) <= 200 else text[:197] + "..."
