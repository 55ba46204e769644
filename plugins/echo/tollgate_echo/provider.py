"""One configured echo instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api import (
    PLAIN_READERS,
    Attempt,
    Call,
    ChatReader,
    Fault,
    Profile,
    Target,
    Transport,
    Upload,
    UpstreamReply,
    UpstreamRequest,
    fault_from_openai_error,
    form_of_body,
    has_uploads,
    json_request,
    write_form,
)
from tollgate_echo.answer import read_request
from tollgate_echo.limits import report_limits
from tollgate_echo.plain import CREATED_HEADER, ROOT, SECONDS_HEADER
from tollgate_echo.script import Timing
from tollgate_echo.settings import EchoSettings
from tollgate_echo.shelf import BATCHES, FILES
from tollgate_echo.tokens import count_prompt
from tollgate_echo.transport import URL, URLS_OF_BATCHES, EchoTransport


class EchoProvider:
    """Implements `gateway.provider.Provider` with a model that answers in this process."""

    def __init__(self, name: str, settings: EchoSettings) -> None:
        self.name = name
        self._on_disconnect = settings.on_disconnect
        self._directives = settings.directives
        self.transport: Transport | None = EchoTransport(
            Timing(settings.delay, settings.pace), settings.directives, settings.folder, settings.batch_delay
        )

    def profile(self, target: Target) -> Profile:
        """Everything; any number of choices, any name of a function."""
        return Profile(operations=frozenset({"chat", *PLAIN_READERS}), on_disconnect=self._on_disconnect, tool_names="")

    def prepare(self, call: Call, target: Target) -> Attempt:
        """See `Provider`. Raises CallerFault for a directive that cannot be followed, and for what the model cannot do
        when the call is strict."""
        if call.operation in PLAIN_READERS:
            return _prepare_plain(call, target)
        body = dict(call.body)
        report_limits(call, body, self._directives)
        if self._directives:
            read_request(body, True)
        else:
            body.pop("echo", None)
        body["model"] = target.upstream
        body["stream"] = call.stream
        if call.stream:
            given = body.get("stream_options")
            body["stream_options"] = {**(given if isinstance(given, dict) else {}), "include_usage": True}
        if call.max_output is not None:
            body.pop("max_tokens", None)
            body["max_completion_tokens"] = call.max_output
        request = json_request(URL, body, {CREATED_HEADER: str(call.created)}, stream=call.stream)
        return Attempt(request, ChatReader(call))

    def files_request(self, method: str, path: str, content_type: str = "", body: bytes = b"") -> UpstreamRequest:
        """See `FilesProvider`; never connected to, as all that is sent here."""
        return UpstreamRequest(
            FILES + path, {"content-type": content_type} if content_type else {}, body, method=method
        )

    def read_files_fault(self, reply: UpstreamReply) -> Fault:
        """See `FilesProvider`: errors are OpenAI's."""
        return fault_from_openai_error(reply.status, reply.body, reply.headers)

    def batches_request(self, method: str, path: str, body: bytes = b"") -> UpstreamRequest:
        """See `BatchesProvider`: to the folder of the instance."""
        return UpstreamRequest(BATCHES + path, {}, body, method=method)

    def batch_url(self, request: UpstreamRequest) -> str:
        """See `BatchesProvider`: each address here stands for one endpoint of OpenAI's."""
        return next((endpoint for endpoint, url in URLS_OF_BATCHES.items() if url == request.url), "")

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target) -> int:
        """See `Provider`: the exact count, by the rule in `tokens.py`."""
        return count_prompt(body)


def _prepare_plain(call: Call, target: Target) -> Attempt:
    body = {**call.body, "model": target.upstream}
    headers = {CREATED_HEADER: str(call.created), "content-type": "application/json"}
    file = body.get("file")
    if isinstance(file, Upload) and file.seconds is not None:
        headers[SECONDS_HEADER] = f"{file.seconds:.3f}"
    if has_uploads(body):
        headers["content-type"], data = write_form(form_of_body(body), call.id)
    else:
        data = orjson.dumps(body)
    request = UpstreamRequest(ROOT + call.operation, headers, data, stream=call.stream)
    return Attempt(request, PLAIN_READERS[call.operation](call))
