"""How figures and times are written on pages: pure functions, which templates use as filters."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from gateway.config import Config

_FINEST = 8
"""Decimal places."""
_PLACES = (("B", 10**9), ("M", 10**6), ("k", 10**3))


def number(value: int) -> str:
    """A whole number with thousands set apart: `1,234,567`."""
    return f"{value:,}"


def tokens(value: int | None) -> str:
    """A number, such as of tokens, shortened where that loses nothing much: `128k`, `1.05M`; a dash for none."""
    if value is None:
        return "-"
    for sign, size in _PLACES:
        if value >= size - size // 2000:  # what three digits round up to it, too
            return f"{value / size:.3g}{sign}"
    return str(value)


def moment(seconds: int | None) -> dict[str, str]:
    """A time for `<time>`: `iso` for machines, `text` for people, in UTC; scripts make it relative and local.
    seconds: Unix time; None gives empty texts."""
    if seconds is None:
        return {"iso": "", "text": ""}
    when = datetime.fromtimestamp(seconds, UTC)
    return {"iso": when.strftime("%Y-%m-%dT%H:%M:%SZ"), "text": when.strftime("%Y-%m-%d %H:%M UTC")}


_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (("Windows", "Windows"), ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Mac OS", "macOS"),
            ("Linux", "Linux"))  # fmt: skip


def browser(agent: str) -> str:
    """What a browser's own description comes to: `Firefox on Linux`; its beginning, when it is none that is known."""
    name = next((name for mark, name in _BROWSERS if mark in agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    return f"{name} on {system}" if name and system else name or agent[:40] or "Unknown"


def duration(milliseconds: int | None) -> str:
    """A time that something took: `350 ms`, `2.4 s`; a dash when it is not known."""
    if milliseconds is None:
        return "-"
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def amount(value: Decimal) -> str:
    """Money: two places from 1 upwards, below that enough for two digits that say something."""
    places = 2
    if value and abs(value) < 1:
        places = max(2, 1 - value.adjusted())
    text = f"{value:,.{min(places, 10)}f}"
    if places > 2:
        text = text.rstrip("0")
        text += "0" * max(0, 2 - len(text.partition(".")[2]))
    return text


def price(value: Decimal) -> str:
    """A price to the last digit, and at least to the cent: only what an exchange rate makes endless is rounded."""
    exact = round(value, _FINEST).normalize()
    places = max(2, -int(exact.as_tuple().exponent))
    return f"{exact:,.{places}f}"


def marked(text: str) -> list[tuple[str, bool]]:
    """Text in pieces, each with whether it stood between backticks and so is code."""
    return [(piece, number % 2 == 1) for number, piece in enumerate(text.split("`")) if piece]


class Money:
    """Credits in the operator's currency. config: of the gateway; `console.currency`, `console.currency_per_usd` and
    `credits.per_usd` are read."""

    def __init__(self, config: Config) -> None:
        self.code = config.console.currency
        self._per_usd = config.console.currency_per_usd
        self._credits = config.credits.per_usd

    def __call__(self, credits: int | Decimal) -> str:
        """What credits are worth: `12.50 USD`."""
        return f"{amount(Decimal(credits) / self._credits * self._per_usd)} {self.code}"

    def usd(self, value: Decimal | str) -> str:
        """A price in USD, in the operator's currency."""
        return f"{self.plain(value)} {self.code}"

    def plain(self, value: Decimal | str) -> str:
        """The same without the currency's name, for tables that name it once."""
        return price(Decimal(value) * self._per_usd)

    def credits(self, usd: Decimal | str) -> str:
        """A price in USD, in credits: whole ones where it is whole, otherwise with what matters behind the point."""
        value = (Decimal(usd) * self._credits).normalize()
        return f"{value:,f}"


def json_for_script(value: Any) -> str:
    """A value as the text of a `<script type="application/json">`, in which no markup can begin or end."""
    import orjson

    text = orjson.dumps(value).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
