"""What other providers want back (`reasoning_details`), in the one member that Google's clients return: a part's
`thoughtSignature`. It holds bytes in base64, and clients write it again in either alphabet."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from gateway.api import is_sealed, seal, unseal


def signature_of(details: list[Any]) -> str:
    """A `thoughtSignature` that carries these details."""
    return base64.b64encode(seal(details).encode()).decode()


def envelope_in(signature: Any) -> str:
    """The envelope of this gateway in a `thoughtSignature`, "" when it is of another maker."""
    if not isinstance(signature, str) or not signature:
        return ""
    try:
        plain = signature.replace("-", "+").replace("_", "/").rstrip("=")
        text = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return text if is_sealed(text) else ""


def details_in(envelope: str, path: str) -> list[dict[str, Any]]:
    """The details of an envelope. Raises CallerFault, naming `path`, when it was damaged on its way."""
    return unseal(envelope, path)[0]
