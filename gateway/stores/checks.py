"""What may be stored, whatever the store: names, rates, key settings. Every store asks here, so that all refuse
alike."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import replace

from gateway.errors import CallerFault
from gateway.stores.accounts import AccountChange
from gateway.stores.amounts import asked_credits
from gateway.stores.keys import KeySettings

MOST_PER_MINUTE = 1_000_000
"""The highest rate that an account or a key may be given."""
_CHANGEABLE = ("name", "role", "disabled", "requests_per_minute", "alert_thresholds")
"""Members of an account. Money moves through the ledger alone."""
ROLES = ("user", "admin")
_PATTERN = re.compile(r"[A-Za-z0-9._:@/+~*-]{1,200}")
_EMAIL = re.compile(r"[^\s@<>\"(),:;\\\[\]]{1,64}@[^\s@<>\"(),:;\\\[\]/]{1,190}")
_MOST_LISTED = 200
LONGEST_GRACE = 30 * 86_400
"""Seconds that a rotated secret may go on working."""


def checked_text(text: str, what: str, *, least: int = 0, most: int = 100) -> str:
    """A name fit for display: `least` to `most` characters, none of them a control character."""
    if not isinstance(text, str) or not least <= len(text) <= most or not text.isprintable():
        raise CallerFault(f"{what}: expected {least} to {most} printable characters.", param=what)
    return text


def checked_rate(value: int | None) -> int | None:
    """Requests per minute: None, or from 1 to `MOST_PER_MINUTE`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_PER_MINUTE:
        raise CallerFault(f"requests_per_minute: expected an integer from 1 to {MOST_PER_MINUTE}, or null.",
                          param="requests_per_minute")  # fmt: skip
    return value


def checked_thresholds(values: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Percents from 1 to 100, in ascending order, each once; None for those of the configuration, none for no alert."""
    if values is None:
        return None
    found = tuple(values)
    good = all(type(one) is int and 1 <= one <= 100 for one in found) and list(found) == sorted(set(found))
    if not good:
        raise CallerFault("alert_thresholds: expected percents from 1 to 100 in ascending order, or null.",
                          param="alert_thresholds")  # fmt: skip
    return found


def check_change(change: AccountChange) -> None:
    """Raise CallerFault for a change of an account that names what cannot be set, or that sets what cannot be kept."""
    for member in change.change:
        if member not in _CHANGEABLE:
            raise CallerFault(f"{member}: this member of an account cannot be changed.", param=member)
    if "name" in change.change:
        checked_text(change.name, "name", least=1, most=200)
    if "role" in change.change:
        checked_role(change.role)
    if "requests_per_minute" in change.change:
        checked_rate(change.requests_per_minute)
    if "alert_thresholds" in change.change:
        checked_thresholds(change.alert_thresholds)


def checked_role(role: str) -> str:
    if role not in ROLES:
        raise CallerFault("role: expected user or admin.", param="role")
    return role


def checked_email(email: str) -> str:
    """An e-mail address in lower case, by its form only: whether mail arrives there is not asked."""
    text = email.strip().lower() if isinstance(email, str) else ""
    if not text.isprintable() or not _EMAIL.fullmatch(text):
        raise CallerFault("email: expected an e-mail address such as ada@example.org.", param="email")
    return text


def checked_settings(settings: KeySettings, now: int) -> KeySettings:
    """The settings with addresses in normal form; CallerFault (400) names the first member that is wrong."""
    checked_text(settings.name, "name")
    checked_rate(settings.requests_per_minute)
    if settings.monthly_limit is not None:
        asked_credits(settings.monthly_limit, "monthly_limit", least=0)
    if settings.expires_at is not None:
        asked_credits(settings.expires_at, "expires_at", least=0)
        if settings.expires_at <= now:
            raise CallerFault("expires_at: this time has passed.", param="expires_at")
    models, networks = settings.models, settings.ip_allow
    if models is not None:
        models = tuple(models)
        if not 1 <= len(models) <= _MOST_LISTED:
            raise CallerFault(
                f"models: expected 1 to {_MOST_LISTED} ids or patterns, or null for every model.", param="models"
            )
        for i, pattern in enumerate(models):
            if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
                raise CallerFault(
                    f"models[{i}]: expected a model id or a pattern such as provider/*.", param=f"models[{i}]"
                )
    if networks is not None:
        networks = tuple(networks)
        if not 1 <= len(networks) <= _MOST_LISTED:
            raise CallerFault(
                f"ip_allow: expected 1 to {_MOST_LISTED} addresses or networks, or null for every address.",
                param="ip_allow",
            )
        networks = tuple(_network(text, i) for i, text in enumerate(networks))
    thresholds = checked_thresholds(settings.alert_thresholds)
    return replace(settings, models=models, ip_allow=networks, alert_thresholds=thresholds)


def _network(text: str, i: int) -> str:
    try:
        if not isinstance(text, str):
            raise ValueError
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise CallerFault(
            f"ip_allow[{i}]: expected an address or a network such as 192.0.2.0/24 (no bits after the prefix).",
            param=f"ip_allow[{i}]",
        ) from None


def address_allowed(remote: str, networks: Iterable[str]) -> bool:
    """Whether the address `remote` lies in one of these networks; an IPv4 address in IPv6 form counts as IPv4."""
    try:
        address = ipaddress.ip_address(remote)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in ipaddress.ip_network(network) for network in networks)


def erased_name(account_id: str) -> str:
    """What an account is called of which everything personal was erased."""
    return f"erased {account_id}"
