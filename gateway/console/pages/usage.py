"""/usage: what was used, by day, model, key and end user, and the calls themselves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from gateway.console.activity import call_rows, days_between, names_of, others, spend_chart, together
from gateway.console.page import Answer, Visit, page
from gateway.console.visitor import member_of
from gateway.http.api.account.requests import PAGE
from gateway.http.api.fields import page_number
from gateway.http.api.usage import NO_KEY, groups_of, period, stored_key, summary_of
from gateway.stores import LoggedRequest, UsageFilter
from gateway.wire.spend_tags import USER

RANGES = (("7", "7 days"), ("30", "30 days"), ("90", "90 days"))
_MOST_COMPARED = 4
_MOST_USERS = 20


class Wish:
    """What the address asks for: the range (`days`, or `start` and `end`), keys to compare, which calls. All of it
    stands in the address, so that a view can be shared."""

    def __init__(self, query: Mapping[str, str], keys: Sequence[str]) -> None:
        self.range = {name: query[name] for name in ("days", "start", "end") if query.get(name)}
        if "start" in self.range or "end" in self.range:
            self.range.pop("days", None)
        self.first, self.last = period(self.range, int(time.time()))
        self.keys = list(dict.fromkeys(key for key in keys if key))[:_MOST_COMPARED]
        self.model = query.get("model", "")
        self.user = query.get("user", "")
        self.failed = query.get("failed") == "true"
        self.before = page_number(query, "before", 0, 2**53)
        self.after = page_number(query, "after", 0, 2**53)

    def link(self, path: str = "/usage", **changes: str | Sequence[str]) -> str:
        """The address of this view with other values; "" takes one away."""
        values: dict[str, str | Sequence[str]] = {
            **self.range,
            "key": self.keys,
            "model": self.model,
            "user": self.user,
            "failed": "true" if self.failed else "",
        }
        query = urlencode({name: value for name, value in (values | changes).items() if value}, doseq=True)
        return f"{path}?{query}" if query else path

    def table(self) -> str:
        """The address of the calls as a table to keep."""
        return self.link("/account/requests.csv", days="", start="", end="")

    def days_table(self) -> str:
        """The address of the days as a table to keep, "" with several keys: it is of all of them, or of one."""
        return "" if len(self.keys) > 1 else self.link("/account/usage.csv", model="", failed="", user="")

    def only(self) -> UsageFilter:
        """Which calls: those of the keys, and of the end user."""
        keys = tuple(stored_key(key) for key in self.keys)
        tag = (USER, self.user) if self.user else None
        return UsageFilter(key_ids=keys, model=self.model, failed=self.failed, after=self.after, tag=tag)


@page("GET", "/usage", template="usage.html", needs="account")
async def usage(visit: Visit) -> Answer:
    """Balance, a chart of the days, tables by model, key and end user, and a page of calls. Raises CallerFault 400."""
    account = member_of(visit.visitor).account
    stores = visit.context.gateway.stores
    wish = Wish(visit.query, visit.context.request.query.getall("key", []))
    keys = await stores.keys.list_keys(account.id)
    names = names_of(keys)
    total = await summary_of(stores, account.id, wish.first, wish.last, None)
    own = [
        (names.get(key, key), await summary_of(stores, account.id, wish.first, wish.last, key))
        for key in map(stored_key, wish.keys)
    ]
    only_key = stored_key(wish.keys[0]) if len(wish.keys) == 1 else None
    users = await groups_of(
        stores, account.id, USER, own[0][1] if only_key is not None else total, wish.first, wish.last, only_key
    )
    days = days_between(wish.first, wish.last)
    found = await stores.usage.recent(account.id, before=wish.before, limit=PAGE + 1, only=wish.only())
    summary = together([one for _, one in own]) if own else total
    newer, older = _neighbours(wish, found)
    shown = found[-PAGE:] if wish.after else found[:PAGE]
    return {
        "wish": wish,
        "ranges": RANGES,
        "account": account,
        "keys": keys,
        "names": names,
        "summary": summary,
        "others": others(summary.others),
        "chart": spend_chart(days, own or [("All keys", total)]),
        "by_key": [(key or NO_KEY, names.get(key, key), spent, count) for key, spent, count in total.by_key],
        "by_user": users if any(one["value"] is not None for one in users) else [],
        "most_users": _MOST_USERS,
        "rows": call_rows(shown, names),
        "newer": newer,
        "older": older,
        "one_key": wish.keys[0] if len(wish.keys) == 1 else "",
    }


def _neighbours(wish: Wish, found: Sequence[LoggedRequest]) -> tuple[str, str]:
    """The addresses of the newer and the older page, "" for none. One row more than a page has was asked for."""
    more = len(found) > PAGE
    if not found:
        return ("", "") if not (wish.before or wish.after) else (wish.link(), "")
    if wish.after:
        shown = found[-PAGE:]
        return (wish.link(after=str(shown[0].seq)) if more else "", wish.link(before=str(shown[-1].seq)))
    shown = found[:PAGE]
    return (
        wish.link(after=str(shown[0].seq)) if wish.before else "",
        wish.link(before=str(shown[-1].seq)) if more else "",
    )


PAGES = (usage,)
