"""Arguments, the run of every cell, and the table."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from gateway.testing import FakeUpstream

from .agents import AGENTS
from .clients import Agent, Run, end_group
from .gaps import GAPS
from .house import House
from .scenarios import PNG, SCENARIOS, Cell, Scenario
from .speech import DIALECTS
from .tap import Exchange, Tap
from .upstream import Stage

CACHE = Path(__file__).resolve().parents[2] / "data" / "agents"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one cell. wrong: what is wrong with it, in words."""

    agent: str
    dialect: str
    scenario: str
    wrong: Sequence[str]
    charged: int
    calls: int

    @property
    def name(self) -> str:
        return f"{self.agent}/{self.dialect}/{self.scenario}"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line. Raises SystemExit."""
    parser = argparse.ArgumentParser(prog="scripts/agents", description="Real coding agents through the gateway.")
    parser.add_argument("--list", action="store_true", help="print the cells and stop")
    parser.add_argument(
        "--only", action="append", default=[], metavar="AGENT/UPSTREAM/SCENARIO",
        help="these cells: parts may be left out or be *, as in codex, */google or claude/*/mcp; repeatable",
    )  # fmt: skip
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write what passed on the wire into this folder")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the packages are installed (%(default)s)")
    parser.add_argument("--pin", action="append", default=[], metavar="AGENT=VERSION", help="another version")
    return parser.parse_args(arguments)


def chosen(only: Sequence[str]) -> list[tuple[type[Agent], str, Scenario]]:
    """The cells that the patterns name; all without a pattern. Raises SystemExit for a pattern without a cell."""
    cells = [
        (agent, dialect, scenario)
        for agent in AGENTS for dialect in DIALECTS for scenario in SCENARIOS if agent.name in scenario.agents
    ]  # fmt: skip
    if not only:
        return cells
    found: list[tuple[type[Agent], str, Scenario]] = []
    for pattern in only:
        wanted = [part or "*" for part in [*pattern.split("/"), "*", "*"][:3]]
        matched = [
            (agent, dialect, scenario)
            for agent, dialect, scenario in cells
            if all(part in ("*", name) for part, name in zip(wanted, (agent.name, dialect, scenario.name), strict=True))
        ]  # fmt: skip
        if not matched:
            raise SystemExit(f"scripts/agents: no cell is called {pattern!r}; --list shows them")
        found += [one for one in matched if one not in found]
    return found


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tried: list[str]) -> None:
    """A proxy that lets nothing out and remembers what was tried."""
    line = (await reader.readline()).decode("latin-1").split(" ")
    if len(line) > 1:
        tried.append(line[1])
    writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    writer.close()


class Bench:
    """Runs cells one after the other."""

    def __init__(
        self, stage: Stage, house: House, tap: Tap, refusing: str, tried: list[str], keep: Path | None
    ) -> None:
        self.stage, self.house, self.tap, self.refusing, self.tried, self.keep = (
            stage,
            house,
            tap,
            refusing,
            tried,
            keep,
        )

    async def run(self, agent: Agent, dialect: str, scenario: Scenario) -> Result:
        """One cell."""
        with tempfile.TemporaryDirectory(
            prefix="agents-", dir=Path.home() if sys.platform == "darwin" else None
        ) as name:
            folder = Path(name)
            home, work = folder / "home", folder / "work"
            home.mkdir()
            work.mkdir()
            picture = work / "picture.png"
            if scenario.picture:
                picture.write_bytes(PNG)
            account, key = await self.house.new_account(scenario.credits)
            run = Run(
                tap=f"http://127.0.0.1:{self.tap.port}", key=key, model=f"{dialect}/model", home=home, work=work,
                picture=picture if scenario.picture else None, searches=scenario.searches, mcp=scenario.mcp,
                compacts=scenario.compacts,
            )  # fmt: skip
            self.tap.take()
            self.tried.clear()
            self.stage.play(scenario.plan(agent, picture))
            process = await agent.start(run, self.refusing)
            if scenario.interrupts:
                await self._interrupt(process)
            ended = await agent.finish(process, scenario.patience)
            end_group(process, signal.SIGKILL)
            charged = await self._settled(account, scenario)
            exchanges = self.tap.take()
            cell = Cell(agent, ended, agent.said(ended), work, exchanges, self.stage.asked, charged)
            wrong = [*scenario.check(cell), *self.stage.complaints]
            wrong += [f"tried to reach {host}" for host in sorted(set(self.tried)) if not host.startswith(agent.asks)]
            wrong += [f"ledger: {one}" for one in await self.house.discrepancies()]
            if self.keep:
                self._write(f"{agent.name}-{dialect}-{scenario.name}", cell, exchanges)
            return Result(agent.name, dialect, scenario.name, wrong, charged, len(cell.calls()))

    async def _interrupt(self, process: asyncio.subprocess.Process) -> None:
        """SIGINT when the endless answer has been running for a moment."""
        for _ in range(300):
            if process.returncode is not None:
                return
            if any(one.answer.endless for one in self.stage.asked):
                await asyncio.sleep(2)
                end_group(process, signal.SIGINT)
                return
            await asyncio.sleep(0.1)

    async def _settled(self, account: str, scenario: Scenario) -> int:
        """What the account was charged, when nothing of it is held any more."""
        before = -1
        for _ in range(20):
            charged = await self.house.charged(account, scenario.credits)
            if charged == before:
                break
            before = charged
            await asyncio.sleep(0.3)
        return before

    def _write(self, name: str, cell: Cell, exchanges: Sequence[Exchange]) -> None:
        assert self.keep is not None
        folder = self.keep / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "output").write_text(f"{cell.ended.status}\n{cell.ended.output}\n--\n{cell.ended.errors}")
        for number, one in enumerate(exchanges):
            head = "\n".join(
                [f"{one.method} {one.path} -> {one.status}", *(f"{k}: {v}" for k, v in one.headers.items())]
            )
            (folder / f"{number:02d}.head").write_text(head)
            (folder / f"{number:02d}.body").write_bytes(one.body)
            (folder / f"{number:02d}.answer").write_bytes(one.answer)
        for number, asked in enumerate(cell.asked):
            (folder / f"up{number:02d}.json").write_bytes(orjson.dumps(dict(asked.body), option=orjson.OPT_INDENT_2))


def table(results: Sequence[Result], gaps: Mapping[str, str]) -> str:
    """Rows of agent and scenario, one column per upstream: ok, gap (known), FAIL, or empty when it was not run."""
    dialects = [one for one in DIALECTS if any(result.dialect == one for result in results)]
    rows = list(dict.fromkeys((result.agent, result.scenario) for result in results))
    marks = {result.name: mark(result, gaps) for result in results}
    width = max([len(f"{agent} {scenario}") for agent, scenario in rows], default=0)
    lines = [" " * width + "".join(f"  {dialect:>9}" for dialect in dialects)]
    for agent, scenario in rows:
        cells = "".join(f"  {marks.get(f'{agent}/{dialect}/{scenario}', ''):>9}" for dialect in dialects)
        lines.append(f"{f'{agent} {scenario}':<{width}}{cells}")
    return "\n".join(lines)


def mark(result: Result, gaps: Mapping[str, str]) -> str:
    """`ok`, `gap`, `FAIL`; `mended` for a known gap that came out right."""
    if result.name in gaps:
        return "gap" if result.wrong else "mended"
    return "FAIL" if result.wrong else "ok"


async def work(given: argparse.Namespace) -> list[Result]:
    """Run the chosen cells, printing one line for each."""
    cells = chosen(given.only)
    pins = dict(one.split("=", 1) for one in given.pin)
    agents: dict[str, Agent] = {}
    for kind in dict.fromkeys(cell[0] for cell in cells):
        agent = kind(given.cache)
        if kind.name in pins:
            agent.version = pins[kind.name]
            agent.folder = given.cache / f"{kind.name}-{agent.version}"
        await agent.install()
        agents[kind.name] = agent
    results = []
    tried: list[str] = []
    with tempfile.TemporaryDirectory(prefix="agents-gateway-") as folder:
        async with FakeUpstream() as upstream, House(Path(folder), upstream.url) as house, Tap(house.port) as tap:
            server = await asyncio.start_server(lambda r, w: refuse(r, w, tried), "127.0.0.1", 0)
            refusing = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            bench = Bench(Stage(upstream), house, tap, refusing, tried, given.keep)
            for kind, dialect, scenario in cells:
                begun = time.monotonic()
                result = await bench.run(agents[kind.name], dialect, scenario)
                took = time.monotonic() - begun
                results.append(result)
                head = f"{mark(result, GAPS):<6} {result.name}"
                figures = f"{result.calls} calls, {result.charged} credits, {took:.0f} s"
                print(f"{head}  {figures}  {'; '.join(result.wrong)}", flush=True)
            server.close()
    return results


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 when a cell fails that is not a known gap."""
    given = parse(arguments)
    if given.list:
        for agent, dialect, scenario in chosen(given.only):
            print(f"{agent.name}/{dialect}/{scenario.name}  {scenario.about}")
        return 0
    results = asyncio.run(work(given))
    print("\n" + table(results, GAPS))
    return int(any(mark(result, GAPS) == "FAIL" for result in results))
