"""The scripted upstream: one server that speaks all the dialects, each below a folder of its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.testing import FakeUpstream, Received, Reply, json_reply

from .script import Answer, Plan
from .speech import DIALECTS, Offer, read_offer, say

_PATH = re.compile(rf"/({'|'.join(DIALECTS)})/(.*)")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that the upstream got, what it offered, and what was answered."""

    dialect: str
    path: str
    body: Mapping[str, Any]
    raw: bytes
    offer: Offer
    answer: Answer


@dataclass(slots=True)
class Stage:
    """Plays a plan. asked: the requests since the last plan; complaints: what was wrong with them."""

    upstream: FakeUpstream
    plan: Plan = field(default_factory=lambda: Plan([Answer("Nothing was planned.")]))
    asked: list[Asked] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def play(self, plan: Plan) -> None:
        """Begin a run with this plan."""
        self.plan, self.asked, self.complaints = plan, [], []
        self.upstream.requests.clear()
        self.upstream.answer(self._answer)

    def _answer(self, received: Received) -> Reply:
        found = _PATH.match(received.path)
        if found is None or received.method != "POST":
            return json_reply({"error": {"message": "no such road", "type": "invalid_request_error"}}, 404)
        dialect, path = found.group(1), found.group(2)
        if path.endswith(("count_tokens", ":countTokens", "/compact", "/conversations", "/input_tokens")):
            return json_reply({"error": {"message": "not here", "type": "invalid_request_error"}}, 404)
        if path.endswith("/chat/completions") and dialect == "native":
            dialect = "chat"  # it has both roads
        body = received.json
        offer = read_offer(dialect, path, body)
        answer = self.plan.next([name for _, name in offer.tools], offer.searches)
        try:
            reply = say(dialect, answer, offer)
        except LookupError as fault:
            self.complaints.append(str(fault))
            answer = Answer(f"I cannot: {fault}.")
            reply = say(dialect, answer, offer)
        self.asked.append(Asked(dialect, path, body, received.body, offer, answer))
        return reply
