"""The scenarios: what the scripted model does, what the agent must have done, and what that may cost."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .clients import Agent, Ended
from .house import PRICE
from .script import Answer, Plan
from .tap import Exchange
from .upstream import Asked

CREDITS = 100_000_000
DONE = "All of the work is done."
FULLY_TRIED = ("claude", "codex", "gemini")
EVERYBODY = (*FULLY_TRIED, "opencode", "qwen")
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9hAAAAAElFTkSuQmCC"
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One run as it came out, for the checks of its scenario."""

    agent: Agent
    ended: Ended
    said: str
    work: Path
    exchanges: Sequence[Exchange]
    asked: Sequence[Asked]
    charged: int

    def calls(self) -> list[Exchange]:
        """The agent's requests that call a model."""
        roads = ("/chat/completions", "/messages", "/responses", ":generateContent", ":streamGenerateContent")
        return [one for one in self.exchanges if one.method == "POST" and one.path.split("?")[0].endswith(roads)]


Check = Callable[[Cell], list[str]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """plan: of an agent and the picture's path. check: what is wrong with a cell, in words; empty when it is right.
    interrupts: the agent gets SIGINT when its endless answer has begun. credits: of the account.
    agents: whom it is for."""

    name: str
    about: str
    plan: Callable[[Agent, Path], Plan]
    check: Check
    credits: int = CREDITS
    interrupts: bool = False
    picture: bool = False
    searches: bool = False
    mcp: bool = False
    compacts: bool = False
    patience: float = 60.0
    agents: Sequence[str] = FULLY_TRIED


def cost(asked: Sequence[Asked]) -> int:
    """Credits that the answers to these requests reported."""
    told = [one.answer for one in asked if not one.answer.failure and not one.answer.endless]
    return sum(one.tokens_in * PRICE["input"] + one.tokens_out * PRICE["output"] for one in told)


def finished(cell: Cell) -> list[str]:
    """Wrong unless it ended well, said the last words, and was charged what the upstream reported."""
    wrong = []
    if cell.ended.status != 0:
        wrong.append("its time was up" if cell.ended.status is None else f"exit status {cell.ended.status}")
    if DONE not in cell.said:
        wrong.append(f"printed {cell.said[:80]!r}")
    due = cost(cell.asked)
    if cell.charged != due:
        wrong.append(f"charged {cell.charged}, not {due}")
    return wrong


def _files(cell: Cell, count: int) -> list[str]:
    found = [number for number in range(count) if _content(cell.work / f"f{number}") == f"text{number}"]
    return [] if len(found) == count else [f"{count - len(found)} of {count} files not written"]


def _content(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _statuses(cell: Cell) -> str:
    return " ".join(str(one.status) for one in cell.calls())


def _rounds(count: int) -> Scenario:
    def plan(agent: Agent, picture: Path) -> Plan:
        rounds = [
            Answer(f"Step {n}.", [agent.write(f"f{n}", f"text{n}")], 1000 + 100 * n, 40 + n) for n in range(count)
        ]
        return Plan([*rounds, Answer(DONE, tokens_in=5000, tokens_out=30)])

    return Scenario(
        f"tools-{count}", f"{count} rounds of tools", plan, lambda cell: finished(cell) + _files(cell, count),
        patience=90.0, agents=EVERYBODY if count == 2 else FULLY_TRIED,
    )  # fmt: skip


def _two_parallel() -> Scenario:
    def plan(agent: Agent, picture: Path) -> Plan:
        both = [agent.write("f0", "text0"), agent.write("f1", "text1")]
        return Plan([Answer("", both, 1000, 60), Answer(DONE, tokens_in=1200)])

    return Scenario(
        "parallel", "two tools in one answer", plan, lambda cell: finished(cell) + _files(cell, 2), agents=EVERYBODY
    )


def _interrupted() -> Scenario:
    def plan(agent: Agent, picture: Path) -> Plan:
        return Plan([Answer("One.", [agent.write("f0", "text0")], 1000, 40), Answer("word and word ", endless=True)])

    def check(cell: Cell) -> list[str]:
        wrong = _files(cell, 1)
        if cell.ended.status is None:
            wrong.append("did not end on SIGINT")
        if not any(one.answer.endless for one in cell.asked):
            return [*wrong, "the second answer was never asked for"]
        extra = cell.charged - cost(cell.asked)
        body = next(len(one.raw) for one in cell.asked if one.answer.endless)
        # The prompt is due, whatever the caller heard of the answer: at the very least a token for each 16 bytes.
        if extra < min(body / 16, 900):
            wrong.append(f"the interrupted call of {body} bytes cost {extra}")
        return wrong

    return Scenario("interrupt", "SIGINT in a stream", plan, check, interrupts=True)


def _overloaded() -> Scenario:
    def plan(agent: Agent, picture: Path) -> Plan:
        failures = [Answer(failure=one) for one in ("overloaded", "overloaded", "busy", "limited", "limited")]
        last = Answer(DONE, tokens_in=1200)
        return Plan([Answer("One.", [agent.write("f0", "text0")], 1000, 40), *failures, last])  # type: ignore[list-item]

    return Scenario(
        "overloaded", "529, 503, 429 from the upstream, then answers", plan,
        lambda cell: finished(cell) + _files(cell, 1), patience=120.0,
    )  # fmt: skip


def _overflow() -> Scenario:
    def plan(agent: Agent, picture: Path) -> Plan:
        first = Answer("One.", [agent.write("f0", "text0")], 1000, 40)
        return Plan([first, Answer(failure="context"), Answer(DONE, tokens_in=900)])

    def check(cell: Cell) -> list[str]:
        if cell.agent.name == "claude":
            return finished(cell)
        # The others do not compact on an error; what counts is that they end at once and say why.
        wrong = [] if cell.ended.status is not None else ["its time was up"]
        if len(cell.asked) > 3:
            wrong.append(f"asked {len(cell.asked)} times: {_statuses(cell)}")
        told = (cell.said + cell.ended.errors).lower()
        if not any(
            word in told
            for word in ("context window", "context length", "too long", "token count", "too large", "token limit")
        ):
            wrong.append(f"does not say why: {told[-120:]!r}")
        return wrong

    return Scenario("overflow", "the provider's words for a full context window", plan, check, patience=90.0)


def _compaction() -> Scenario:
    def plan(agent: Agent, picture: Path) -> Plan:
        filled = (20_000, 21_000, 95_000)
        rounds = [Answer(f"Step {n}.", [agent.write(f"f{n}", f"text{n}")], tokens) for n, tokens in enumerate(filled)]
        return Plan([*rounds, Answer(DONE, tokens_in=9_000)])

    def check(cell: Cell) -> list[str]:
        wrong = finished(cell) + _files(cell, 3)
        return wrong if len(cell.asked) > 4 else [*wrong, "did not compact"]

    # Claude Code compacts in `overflow`; on reported usage it does so only where its own estimate agrees. Gemini CLI
    # compacts between prompts, of which a run without a terminal has one.
    return Scenario("compact", "usage that makes the agent compact", plan, check, compacts=True, agents=("codex",))


def _mcp() -> Scenario:
    def plan(agent: Agent, picture: Path) -> Plan:
        uses = [use for use in (agent.find_mcp(), agent.add(19, 23)) if use]
        return Plan([*(Answer("One.", [use], 1000, 40) for use in uses), Answer(DONE, tokens_in=1200)])

    def check(cell: Cell) -> list[str]:
        wrong = finished(cell)
        return wrong if any(b"sum=42" in one.raw for one in cell.asked) else [*wrong, "no result of the MCP tool"]

    return Scenario("mcp", "a tool of the agent's own MCP server", plan, check, mcp=True)


def _picture() -> Scenario:
    def plan(agent: Agent, picture: Path) -> Plan:
        look = agent.look(picture)
        return Plan([*([Answer("Look.", [look], 1000, 40)] if look else []), Answer(DONE, tokens_in=1200)])

    def check(cell: Cell) -> list[str]:
        wrong = finished(cell)
        # Agents encode pictures anew, so any PNG or JPEG will do.
        seen = any(b"iVBORw0KGgo" in one.raw or b"/9j/" in one.raw for one in cell.asked)
        return wrong if seen else [*wrong, "no picture reached the model"]

    return Scenario("picture", "a picture", plan, check, picture=True)


def _unpaid() -> Scenario:
    def check(cell: Cell) -> list[str]:
        wrong = [] if cell.ended.status not in (None, 0) else [f"exit status {cell.ended.status}"]
        refused = [one for one in cell.calls() if one.status == 402]
        calls = cell.calls()
        if cell.asked:
            wrong.append("the upstream was asked")
        # One for the turn; agents may ask for a title beside it.
        if len(calls) > 2:
            wrong.append(f"asked {len(calls)} times ({len(refused)} x 402): {_statuses(cell)}")
        told = (cell.said + cell.ended.errors).lower()
        if not any(word in told for word in ("credit", "quota", "balance")):
            wrong.append(f"does not say why: {told[-120:]!r}")
        return wrong

    return Scenario("unpaid", "an account without credits", lambda *_: Plan([Answer(DONE)]), check, credits=0)


def _search() -> Scenario:
    def plan(agent: Agent, picture: Path) -> Plan:
        uses = [use for use in (agent.find_search(), agent.search("how high is the tower")) if use]
        return Plan([*(Answer("Searching.", [use], 1000, 40) for use in uses), Answer(DONE, tokens_in=1200)])

    return Scenario("search", "web search switched on", plan, finished, searches=True)


SCENARIOS: tuple[Scenario, ...] = (
    _rounds(2), _rounds(10), _two_parallel(), _interrupted(), _overloaded(), _overflow(), _compaction(), _mcp(),
    _picture(), _unpaid(), _search(),
)  # fmt: skip
