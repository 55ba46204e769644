"""gateway record, gateway replay: exchanges with upstreams as files, and what the present code makes of them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gateway.blueprint import Blueprint, catalog_of
from gateway.builtin.quota import possible_cost
from gateway.call import Call, Form, Target, Usage
from gateway.catalog import Catalog
from gateway.cli.common import add_config, add_json, blueprint_of, print_json
from gateway.errors import Fault, GatewayFault
from gateway.runner.replaying import read_again
from gateway.transcripts import Transcript, load_transcript, load_transcripts
from gateway.upstream.translation import speak
from gateway.wire.lenient import dict_of


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    record = commands.add_parser("record", help="say what is recorded, and list the transcripts there are")
    add_config(record)
    add_json(record)
    record.set_defaults(run=run_record)
    replay = commands.add_parser(
        "replay", help="show what the present code and configuration make of recorded exchanges"
    )
    replay.add_argument("path", type=Path, nargs="?", help="a transcript or a folder of them (what `record` names)")
    add_config(replay)
    add_json(replay)
    replay.set_defaults(run=run_replay)


def run_record(options: argparse.Namespace) -> int:
    """Exit status 0. Raises ConfigFault."""
    blueprint = blueprint_of(options)
    chosen = blueprint.config.record
    if chosen.folder is None:
        print(
            "nothing is recorded; `record: {folder: recorded}` in the configuration begins it, see docs/operations.md"
        )
        return 0
    folder = blueprint.config.data / chosen.folder
    files = sorted(folder.glob("*.json"))
    if options.json:
        print_json({"folder": str(folder), "models": chosen.models, "accounts": chosen.accounts, "files": len(files)})
        return 0
    models, accounts = ", ".join(chosen.models) or "all models", ", ".join(chosen.accounts) or "all accounts"
    print(f"{folder}: {len(files)} of at most {chosen.most} transcripts; of {models}, {accounts}")
    return 0


@dataclass(slots=True)
class Replayed:
    """One transcript. differences: lines, empty when all is as it was. before, now: charges in credits, None where one
    is not known."""

    id: str
    differences: list[str] = field(default_factory=list)
    before: int | None = None
    now: int | None = None


def run_replay(options: argparse.Namespace) -> int:
    """Exit status 0 when nothing differs, 1 otherwise. Raises ConfigFault, GatewayFault, and OSError for a file that
    cannot be read."""
    blueprint = blueprint_of(options)
    path: Path | None = options.path
    if path is None:
        if blueprint.config.record.folder is None:
            raise GatewayFault("name a transcript, or a folder of them")
        path = blueprint.config.data / blueprint.config.record.folder
    try:
        transcripts = load_transcripts(path) if path.is_dir() else [load_transcript(path)]
    except ValueError as error:
        raise GatewayFault(str(error)) from error
    catalog = catalog_of(blueprint)
    results = [replay(blueprint, catalog, transcript) for transcript in transcripts]
    differing = [result for result in results if result.differences]
    before = sum(result.before or 0 for result in results)
    now = sum(result.now or 0 for result in results)
    if options.json:
        found = [
            {"id": one.id, "differences": one.differences, "before": one.before, "now": one.now} for one in results
        ]
        print_json({"transcripts": found, "differing": len(differing), "charge_before": before, "charge_now": now})
    else:
        for result in differing:
            print(result.id)
            for line in result.differences:
                print(f"  {line}")
        print(f"{len(results)} transcripts, {len(differing)} differ; charges {before:,} credits then, {now:,} now")
    return 1 if differing else 0


def replay(blueprint: Blueprint, catalog: Catalog, transcript: Transcript) -> Replayed:
    """Route, request, answer and charge of one recorded exchange, by the present code and configuration."""
    known = transcript.call
    result = Replayed(transcript.id, before=known.get("charge"))
    if not known:
        result.differences.append("it says nothing of the call it belongs to: was it recorded by the gateway?")
        return result
    try:
        found = _target(catalog, str(known.get("model", "")), str(known.get("target", "")), result)
        if found is None:
            return result
        call = _call(known, found, blueprint, catalog)
        provider = None if found.model in blueprint.demo else blueprint.providers.get(found.provider)
        if provider is None:
            owner = blueprint.written[found.model].provider if found.model in blueprint.demo else found.provider
            result.differences.append(f"route: the provider {owner} is switched off; set its key, whatever it be")
            return result
        spoken = speak(call, found)
        attempt = provider.prepare(spoken.call, found)
        result.differences += _changed("request", transcript.request, _body(attempt.request.body))
        call.target = found
        answer, measured = read_again(call, spoken.reader(attempt.reader), transcript.reply)
    except Fault as fault:
        result.differences.append(f"answer: now {fault.status}, {fault.message}")
        return result
    result.differences += _changed("answer", known.get("answer"), answer)
    result.now = _charge(blueprint, call, found, measured.usage, known)
    if result.now != result.before:
        result.differences.append(f"charge: {result.before} credits then, {result.now} now")
    return result


def _target(catalog: Catalog, model: str, target: str, result: Replayed) -> Target | None:
    """The recorded target as it is configured now; what became of the route is noted."""
    candidates = catalog.resolve(model).candidates
    here = next((one for one in candidates if one.model == target), None)
    if here is None:
        result.differences.append(f"route: {target} then, {', '.join(one.model for one in candidates)} now")
    elif here is not candidates[0] and here.group != candidates[0].group:
        result.differences.append(f"route: {candidates[0].model} comes before {target} now")
    return here


def _charge(blueprint: Blueprint, call: Call, target: Target, usage: Usage, known: Mapping[str, Any]) -> int:
    """What the answer costs by the present prices. Where it still reads as it did, what it was billed for counts (its
    caller may have left); and usage that the request cannot have caused is not believed."""
    if target.price is None:
        return 0
    if known.get("billed") is None:
        return target.price.charge(usage)
    if usage == Usage(**known["usage"]):
        usage = Usage(**known["billed"])
    return min(target.price.charge(usage), possible_cost(call, blueprint.providers.__getitem__))


def _call(known: Mapping[str, Any], target: Target, blueprint: Blueprint, catalog: Catalog) -> Call:
    model = str(known.get("model", ""))
    candidates = [one for one in catalog.resolve(model).candidates if one.provider in blueprint.providers]
    call = Call(
        id="req_replay", route="/replay", dialect=known.get("dialect", "chat"), body=dict(known.get("body") or {}),
        model=model, stream=known.get("stream") is True, headers={}, authorization="", remote="",
        started=time.monotonic(), created=int(time.time()), operation=str(known.get("operation", "chat")),
        max_output=known.get("max_output"), candidates=tuple(candidates), targets=(target,),
        forms={name: Form(body) for name, body in dict_of(known.get("forms")).items()},
    )  # fmt: skip
    call.freeze()
    return call


def _body(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.decode("utf-8", "replace")


def _changed(what: str, then: Any, now: Any) -> Iterator[str]:
    """Where two JSON values differ, by their paths; nothing for what was masked when it was recorded."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*then, *now]):
            yield from _changed(f"{what}.{name}", then.get(name), now.get(name))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for place, pair in enumerate(zip(then, now, strict=True)):
            yield from _changed(f"{what}[{place}]", *pair)
    elif then != now and not (isinstance(then, str) and "[redacted]" in then):
        yield f"{what}: {_short(then)} then, {_short(now)} now"


def _short(value: Any) -> str:
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= 80 else text[:77] + "..."
