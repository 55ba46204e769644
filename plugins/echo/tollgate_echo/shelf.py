"""Files and batches of the echo model, in a folder of this machine: what it is sent it keeps there, and a batch is
answered when it is made, and told as done when its time has come. So all workers of a gateway see the same."""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from gateway.api import CallerFault, Fault, GatewayFault, Upload, UpstreamRequest, dict_of, read_form
from tollgate_echo.script import Data, End, Head, Step

FILES = "http://echo.invalid/files"
BATCHES = "http://echo.invalid/batches"
"""Never connected to."""
MOST_FILES = 1000
"""In the folder; the oldest make room."""

Json = dict[str, Any]
Answer = Callable[[str, bytes], Iterator[Step]]
"""The steps of the answer to a body at an endpoint, such as `/v1/chat/completions`."""
_ID = re.compile(r"(?:file|batch)-[0-9a-f]{24}")
_PIECE = 64 * 1024


class Shelf:
    """The folder. path: where it is, "" for one of this user's among the temporary ones. delay: seconds after which a
    batch is done. answer: to one request of a batch."""

    def __init__(self, path: str, delay: float, answer: Answer) -> None:
        self._path = path
        self._delay = delay
        self._answer = answer

    def serve(self, request: UpstreamRequest) -> Iterator[Step]:
        """The steps of the answer to a request at FILES or BATCHES. Raises Fault."""
        parts = urlsplit(request.url)
        kind, *names = parts.path.strip("/").split("/")
        if names and not _ID.fullmatch(names[0]):
            return _missing(names[0])
        try:
            if kind == "files":
                return self._file(request, names)
            return self._batch(request, names, parse_qs(parts.query))
        except FileNotFoundError:
            return _missing(names[0] if names else "")
        except OSError as error:
            raise GatewayFault("The echo model cannot keep this.", detail=str(error)) from error

    # -- files ---------------------------------------------------------------------------------------------------

    def _file(self, request: UpstreamRequest, names: list[str]) -> Iterator[Step]:
        if request.method == "POST":
            fields = dict(read_form(request.headers.get("content-type", ""), request.body))
            file = fields.get("file")
            if not isinstance(file, Upload):
                raise CallerFault("file: is missing; expected a file.", param="file")
            made = self._keep(file.content)
            return _json({"id": made, "object": "file", "bytes": len(file.content), "created_at": int(time.time())})
        place = self._folder() / names[0]
        if request.method == "DELETE":
            place.unlink()
            return _json({"id": names[0], "object": "file", "deleted": True})
        return _content(place.read_bytes())

    def _keep(self, content: bytes) -> str:
        made = f"file-{secrets.token_hex(12)}"
        self._write(made, content)
        return made

    def _write(self, name: str, content: bytes) -> None:
        folder = self._folder()
        fresh = folder / f"{name}.new"
        fresh.write_bytes(content)
        fresh.replace(folder / name)
        kept = sorted(folder.iterdir(), key=_written)
        for place in kept[:-MOST_FILES]:
            place.unlink(missing_ok=True)

    def _folder(self) -> Path:
        folder = Path(self._path or Path(tempfile.gettempdir()) / f"tollgate-echo-{os.getuid()}")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise GatewayFault("The echo model's folder belongs to somebody else.", detail=str(folder))
        return folder

    # -- batches -------------------------------------------------------------------------------------------------

    def _batch(self, request: UpstreamRequest, names: list[str], query: Mapping[str, list[str]]) -> Iterator[Step]:
        if not names and request.method == "POST":
            return _json(self._shown(self._make(dict_of(orjson.loads(request.body)))))
        if not names:
            return _json({"object": "list", **self._list(query)})
        batch = self._read(names[0])
        if names[1:] == ["cancel"]:
            if self._shown(batch)["status"] != "in_progress":
                raise CallerFault("The batch is over.", status=409)
            batch["cancelled_at"] = int(time.time())
            self._write(batch["id"], orjson.dumps(batch))
        return _json(self._shown(batch))

    def _list(self, query: Mapping[str, list[str]]) -> Json:
        after = query.get("after", [""])[0]
        found = [self._read(place.name) for place in self._folder().glob("batch-*") if _ID.fullmatch(place.name)]
        found.sort(key=lambda batch: (-batch["created_at"], batch["id"]))
        places = [place for place, batch in enumerate(found) if batch["id"] == after]
        found = found[places[0] + 1 :] if places else found
        most = int(query.get("limit", ["20"])[0])
        return {"data": [self._shown(batch) for batch in found[:most]], "has_more": len(found) > most}

    def _read(self, name: str) -> Json:
        return dict_of(orjson.loads((self._folder() / name).read_bytes()))

    def _make(self, asked: Json) -> Json:
        name = str(asked.get("input_file_id"))
        if not _ID.fullmatch(name):
            raise CallerFault("input_file_id: there is no such file.", param="input_file_id")
        good: list[bytes] = []
        bad: list[bytes] = []
        for raw in (self._folder() / name).read_bytes().splitlines():
            line = dict_of(orjson.loads(raw))
            status, body = self._ask(str(line.get("url")), orjson.dumps(line.get("body")))
            made = f"batch_req_{secrets.token_hex(8)}"
            answer = {"id": made, "custom_id": line.get("custom_id"), "error": None,
                      "response": {"status_code": status, "request_id": made, "body": body}}  # fmt: skip
            (good if status == 200 else bad).append(orjson.dumps(answer) + b"\n")
        now = time.time()
        batch: Json = {
            "id": f"batch-{secrets.token_hex(12)}", "object": "batch", "endpoint": asked.get("endpoint"),
            "input_file_id": name, "completion_window": asked.get("completion_window"), "created_at": int(now),
            "due": now + self._delay, "metadata": asked.get("metadata"), "good": len(good), "bad": len(bad),
            "output_file_id": self._keep(b"".join(good)) if good else None,
            "error_file_id": self._keep(b"".join(bad)) if bad else None,
        }  # fmt: skip
        self._write(batch["id"], orjson.dumps(batch))
        return batch

    def _ask(self, endpoint: str, body: bytes) -> tuple[int, Any]:
        """Status and body of an answer; what would keep a caller waiting does not come."""
        status, pieces = 0, []
        try:
            for step in self._answer(endpoint, body):
                if isinstance(step, Head):
                    status = step.status
                elif isinstance(step, Data):
                    pieces.append(step.chunk)
                elif isinstance(step, End) and step.fault is not None:
                    raise step.fault
            return status, orjson.loads(b"".join(pieces))
        except Fault as fault:
            return fault.status, {"error": {"message": fault.message, "code": fault.code}}
        except orjson.JSONDecodeError:
            return 500, {"error": {"message": "The answer came to nothing.", "code": "echo_failure"}}

    def _shown(self, batch: Json) -> Json:
        shown = {name: value for name, value in batch.items() if name not in ("due", "good", "bad")}
        cancelled = batch.get("cancelled_at") is not None
        done = not cancelled and time.time() >= batch["due"]
        shown["status"] = "cancelled" if cancelled else "completed" if done else "in_progress"
        shown["request_counts"] = {
            "total": batch["good"] + batch["bad"],
            "completed": batch["good"] if done else 0,
            "failed": batch["bad"] if done else 0,
        }
        if done:
            shown["completed_at"] = int(batch["due"])
        else:
            shown |= {"output_file_id": None, "error_file_id": None}
        return shown


def _written(place: Path) -> float:
    """When a file was written; 0 for one that another worker has taken away meanwhile."""
    try:
        return place.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _missing(name: str) -> Iterator[Step]:
    error = {"message": f"There is no {name!r}.", "type": "invalid_request_error", "code": "not_found"}
    return _json({"error": error}, 404)


def _json(value: Json, status: int = 200) -> Iterator[Step]:
    return iter((Head(status, {"content-type": "application/json"}), Data(orjson.dumps(value)), End()))


def _content(content: bytes) -> Iterator[Step]:
    yield Head(200, {"content-type": "application/octet-stream", "content-length": str(len(content))})
    for start in range(0, len(content), _PIECE):
        yield Data(content[start : start + _PIECE])
    yield End()
