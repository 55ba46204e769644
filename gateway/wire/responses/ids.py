"""Ids of the Responses API that lead back to one another without any memory.

A client answers a function call in one of two spellings: with the item's `call_id` (OpenAI's API reference), or
with `id`/`callId` holding whatever it took from the item's `id` (the other spelling in use). So the `id` of every
call item that leaves this gateway is derived from its `call_id`:

    fc_<call id>                when the call id consists of letters, digits, `_` and `-`   fc_call_ZckkKeJQ
    fc_b64_<base64url>          otherwise (an upstream's `functions.get_weather:0`)         fc_b64_ZnVuY3Rpb25z...

(`ctc_` for custom tool calls), and `call_id_of` turns either back into the call id. An output that names only the
item's id therefore finds its call in every process, after a restart, and on every upstream. The form is OpenAI's
own (`fc_` plus letters, digits, `_`, `-`), so programs that check the prefix are content.

Other items get `<prefix>_gw<seed>_<n>`: the same seed gives the same ids, and `is_minted` tells an id of ours from
one that an upstream gave out.
"""

from __future__ import annotations

import base64
import binascii
import re

CALL_PREFIXES = {"function_call": "fc_", "custom_tool_call": "ctc_"}
"""Item type of a call -> prefix of its item id."""

_OTHER_PREFIXES = {
    "shell_call": "sh_",
    "local_shell_call": "lsh_",
    "apply_patch_call": "apc_",
    "tool_search_call": "tsc_",
}
"""Of calls whose results name the call id alone, so that nothing has to be read out of these."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]+\Z")
_ENCODED = "b64_"
_MINTED = re.compile(r"[a-z]+_gw[A-Za-z0-9_-]*\Z")


def item_id_for_call(call_id: str, kind: str = "function_call") -> str:
    """The item id of the call with this call id. `kind` is the item's type."""
    prefix = CALL_PREFIXES.get(kind) or _OTHER_PREFIXES[kind]
    if _PLAIN.match(call_id) and not call_id.startswith(_ENCODED):
        return prefix + call_id
    raw = base64.urlsafe_b64encode(call_id.encode("utf-8", "surrogatepass"))
    return prefix + _ENCODED + raw.rstrip(b"=").decode("ascii")


def call_id_of(reference: str) -> str:
    """The call id behind `reference`, which is either an item id made by `item_id_for_call` or a call id already.

    A call id that itself begins with `fc_` and was never wrapped comes back without the prefix; since calls and
    outputs are read by the same rule, both still meet.
    """
    for prefix in CALL_PREFIXES.values():
        if reference.startswith(prefix) and len(reference) > len(prefix):
            rest = reference[len(prefix) :]
            return _decoded(rest) if rest.startswith(_ENCODED) else rest
    return reference


def _decoded(text: str) -> str:
    raw = text[len(_ENCODED) :]
    try:
        padded = raw + "=" * (-len(raw) % 4)
        value = base64.b64decode(padded, altchars=b"-_", validate=True).decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        return text
    return value or text


class Minter:
    """Makes the ids of one response: `Minter(seed).mint("msg")` -> `msg_gw<seed>_0`, then `_1`, ...

    seed: letters, digits, `_`, `-`; unique per response, for instance the response id without its prefix.
    """

    def __init__(self, seed: str) -> None:
        self._seed = re.sub(r"[^A-Za-z0-9_-]", "", seed)
        self._next = 0

    def mint(self, prefix: str) -> str:
        """The next id with this prefix (`msg`, `rs`, `fco`, `call`, ...)."""
        number = self._next
        self._next = number + 1
        return f"{prefix}_gw{self._seed}_{number}"


def is_minted(item_id: object) -> bool:
    """Whether this gateway made the id, so that no upstream can know it."""
    return isinstance(item_id, str) and _MINTED.match(item_id) is not None


def input_seed(response_id: str) -> str:
    """The seed for the ids of a stored response's input items that came without one."""
    return response_id.removeprefix("resp_") + "-in"
