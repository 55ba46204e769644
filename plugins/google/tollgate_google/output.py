"""`response_format`: JSON mode, natively or by an instruction.

Before Gemini 3, JSON output excludes tools ("Function calling with a response mime type: 'application/json' is
unsupported"); there the format is asked for in words, and a code fence around the answer is taken off.
Source: Google's page on structured output.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import as_dict

from .draft import Draft, refuse
from .openapi import to_openapi
from .schema import Fitting

INSTRUCTION = "Answer with one valid JSON object and nothing else: no text before or after it, no code fence around it."


def add_response_format(draft: Draft) -> bool:
    """Write what `response_format` asks for. Call it after the tools.

    Returns whether the answer was asked for as JSON in words only.
    """
    wanted = draft.body.get("response_format")
    if wanted is None:
        return False
    kind = as_dict(wanted, "response_format").get("type")
    if kind == "text":
        return False
    if kind == "json_object":
        if _excluded(draft):
            draft.instruct(INSTRUCTION)
            return True
        draft.config["responseMimeType"] = "application/json"
        return False
    if kind != "json_schema":
        raise refuse("response_format.type", "must be text, json_object or json_schema")
    spec = as_dict(wanted.get("json_schema"), "response_format.json_schema")
    return _add_schema(draft, spec, "response_format.json_schema.schema")


def _excluded(draft: Draft) -> bool:
    return bool(draft.out.get("tools")) and not draft.quirks.json_with_tools


def _add_schema(draft: Draft, spec: dict[str, Any], path: str) -> bool:
    schema = spec.get("schema")
    if not schema:
        schema = {"type": "object"}
    fitting = Fitting(as_dict(schema, path), path)
    fitted = fitting.fit()
    about = spec.get("description")
    if isinstance(about, str) and about:
        fitted.setdefault("description", about)
    if _excluded(draft):
        draft.instruct(f"{INSTRUCTION} It must match this JSON Schema: {_dump(fitted, path)}")
        draft.report("response_format", "beside tools this model can only be told the schema, without any guarantee")
        return True
    if spec.get("strict"):
        for keyword in fitting.unenforced:
            draft.report(
                f"response_format.json_schema.schema.{keyword}", "Gemini is only told this keyword, not held to it"
            )
    draft.config["responseMimeType"] = "application/json"
    if draft.quirks.schema == "json":
        draft.config["responseJsonSchema"] = fitted
    else:
        draft.config["responseSchema"] = to_openapi(fitted, path)
    return False


def _dump(schema: dict[str, Any], path: str) -> str:
    try:
        return orjson.dumps(schema).decode()
    except TypeError:
        raise refuse(path, "nests too deeply") from None
