"""What pages do with the fields of a form, and with faults that belong beside one of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from multidict import MultiMapping

from gateway.console.page import Visit
from gateway.errors import CallerFault, Fault
from gateway.stores import Key, KeySettings

LIFETIMES = (("", "Never"), ("7", "In 7 days"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year"))
"""When a new key ends: days and words."""
_DAY = 86_400


def beside(visit: Visit, fault: Fault) -> dict[str, str]:
    """What to say beside which field; under "" what belongs to none. Sets the page's status. Faults that are no
    fault of what was sent are raised: they get a page of their own."""
    if fault.status == 500:
        raise fault
    visit.status = fault.status
    param = fault.param or ""
    text = fault.message.removeprefix(param).removeprefix(": ") if param else fault.message
    return {re.sub(r"\[\d+\]$", "", param): text[:1].upper() + text[1:]}


def key_settings(form: MultiMapping[str], now: float, key: Key | None = None) -> KeySettings:
    """The settings that a form for a key says. key: the one that is edited: its end stays where the form says `keep`.
    Raises CallerFault 400 that names the field."""
    expires = form.get("expires", "")
    return KeySettings(
        name=form.get("name", "").strip(),
        expires_at=key.expires_at if key is not None and expires == "keep" else _end(expires, now),
        monthly_limit=_number(form, "monthly_limit"),
        models=_words(form, "models"),
        requests_per_minute=_number(form, "requests_per_minute"),
        ip_allow=_words(form, "ip_allow"),
        alert_thresholds=None if key is None else key.alert_thresholds,  # an administrator's to say
    )


def _end(days: str, now: float) -> int | None:
    if not days:
        return None
    if days not in dict(LIFETIMES):
        raise CallerFault("expires_at: choose one of the list.", param="expires_at")
    return int(now) + int(days) * _DAY


def _number(form: MultiMapping[str], name: str) -> int | None:
    text = re.sub(r"[\s,_']", "", form.get(name, ""))
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII):
        raise CallerFault(f"{name}: write a whole number, or leave it empty for no limit.", param=name)
    return int(text)


def percents(form: Mapping[str, str], name: str) -> list[int] | None:
    """The percents that a field says, as in `50, 80`; None for an empty one, none for `none`. Raises CallerFault 400
    that names the field."""
    text = form.get(name, "").strip()
    if not text:
        return None
    words = [] if text.lower() == "none" else re.split(r"[\s,;%]+", text.strip(" ,;%"))
    if not all(re.fullmatch(r"[0-9]{1,3}", word, re.ASCII) for word in words):
        raise CallerFault(f"{name}: write percents such as 50, 80, 100, or none.", param=name)
    return sorted({int(word) for word in words})


def _words(form: MultiMapping[str], name: str) -> tuple[str, ...] | None:
    return tuple(re.split(r"[\s,]+", form.get(name, "").strip())) if form.get(name, "").strip() else None


def key_form(key: Key | None, form: Mapping[str, str]) -> dict[str, Any]:
    """What stands in the fields: what was sent, else what the key has."""
    if "name" in form or key is None:
        return {name: form.get(name, "") for name in ("name", "expires", "monthly_limit", "models",
                                                      "requests_per_minute", "ip_allow")}  # fmt: skip
    return {
        "name": key.name,
        "expires": "keep",
        "monthly_limit": "" if key.monthly_limit is None else str(key.monthly_limit),
        "models": "\n".join(key.models or ()),
        "requests_per_minute": "" if key.requests_per_minute is None else str(key.requests_per_minute),
        "ip_allow": "\n".join(key.ip_allow or ()),
    }
