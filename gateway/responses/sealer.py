"""Summaries of conversations that callers carry; only this gateway opens them, for the account they were made for."""

from __future__ import annotations

import base64
import binascii
import functools
import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gateway.errors import CallerFault

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Json = dict[str, Any]

TAG = "gwc1."
_NONCE = 12
_HEAD = "This is a summary of the conversation so far, which was compacted:\n\n"


class Sealer:
    """key: 32 bytes, a subkey of the server secret."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @functools.cached_property
    def _cipher(self) -> AESGCM:
        # Made when it is used: the library takes 7 MB, and most gateways never compact.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._key)

    def seal(self, account_id: str, summary: str) -> str:
        """The `encrypted_content` of a `compaction` item: AES-GCM, bound to the account."""
        nonce = secrets.token_bytes(_NONCE)
        text = summary.encode("utf-8", "replace")
        sealed = nonce + self._cipher.encrypt(nonce, text, account_id.encode())
        return TAG + base64.urlsafe_b64encode(sealed).decode("ascii")

    def unseal(self, account_id: str, sealed: str, path: str) -> str:
        """The summary. Raises CallerFault, naming `path`, for what was not sealed here, for this account."""
        from cryptography.exceptions import InvalidTag

        try:
            raw = base64.b64decode(sealed.removeprefix(TAG), altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], account_id.encode()).decode()
        except (binascii.Error, ValueError, InvalidTag):
            raise CallerFault(
                f"{path}: was damaged, or made by another gateway or for another account; compact again.", param=path
            ) from None

    def expand(self, account_id: str, items: Iterable[Mapping[str, Any]]) -> list[Json]:
        """Canonical items, with the summary as a message of the user in the place of each compaction item of ours.

        Of the user, because nobody has checked what the model took over into it. Raises CallerFault.
        """
        made: list[Json] = []
        for item in items:
            sealed = item.get("encrypted_content")
            if item.get("type") == "compaction" and isinstance(sealed, str) and sealed.startswith(TAG):
                text = self.unseal(account_id, sealed, "input[].encrypted_content")
                made.append({"type": "message", "role": "user", "content": _HEAD + text})
            else:
                made.append(dict(item))
        return made
