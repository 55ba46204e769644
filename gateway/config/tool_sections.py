"""The sections about tools that the gateway runs: `tools`, `search` and `mcp_servers`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from gateway.config.types import BaseUrl, Duration, FrozenDict, ListOf, Section, Size, UsdPrice, freeze, refuse

_SomeTime = Annotated[Duration, Field(gt=0)]
_Text = Annotated[str, Field(min_length=1)]
_Texts = Annotated[tuple[_Text, ...], ListOf]

SearchMode = Literal["auto", "native", "own"]
"""Who searches: the provider where it can and the gateway elsewhere, the provider only, or the gateway always."""

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


class ToolSettings(Section):
    """Tools that the gateway runs for a model.

    max_rounds: requests to the model for one answer; the last one is made without the gateway's tools. max_calls:
    calls of all tools together, a request's `max_tool_calls` may say less. parallel: calls at the same time.
    timeout: one call of an MCP server. connect: the handshake with an MCP server and the list of its tools. total: all
    rounds together. max_result: characters of one result that the model is shown. max_tools: functions that all
    servers of one request may offer together. remote_mcp: requests may name MCP servers by URL; `mcp_call_price`: USD
    for each call of one of them. list_for: how long a server's list of tools is kept.
    """

    max_rounds: Annotated[int, Field(ge=2, le=100)] = 16
    max_calls: Annotated[int, Field(ge=1, le=1000)] = 64
    parallel: Annotated[int, Field(ge=1, le=64)] = 8
    timeout: _SomeTime = 60.0
    connect: _SomeTime = 15.0
    total: _SomeTime = 10 * 60.0
    max_result: Annotated[int, Field(ge=1000)] = 100_000
    max_reply: Annotated[Size, Field(gt=0)] = 8 << 20
    max_tools: Annotated[int, Field(ge=1, le=1000)] = 128
    remote_mcp: bool = True
    mcp_call_price: UsdPrice = Decimal(0)
    list_for: Duration = 300.0


class SearchSettings(Section):
    """Web search. mode, models: who searches, for all models and for single ones (`provider/*` for all of a provider).

    price: USD for each search of the gateway's own; page_price: USD for each page read. timeout: one search, or one
    page. results_low, results_medium, results_high: results for each `search_context_size`. max_page: of a page,
    before its text is taken out; max_page_text: characters of it that the model is shown.
    backends: the services, in the order in which they are asked; the next one when one fails.
    """

    mode: SearchMode = "auto"
    models: Annotated[dict[str, SearchMode], AfterValidator(freeze)] = Field(default_factory=FrozenDict)
    price: UsdPrice = Decimal(0)
    page_price: UsdPrice = Decimal(0)
    timeout: _SomeTime = 15.0
    results_low: Annotated[int, Field(ge=1, le=50)] = 3
    results_medium: Annotated[int, Field(ge=1, le=50)] = 6
    results_high: Annotated[int, Field(ge=1, le=50)] = 12
    max_page: Annotated[Size, Field(gt=0, le=64 << 20)] = 4 << 20
    max_page_text: Annotated[int, Field(ge=1000)] = 20_000
    backends: Annotated[dict[str, Any], AfterValidator(freeze)] = Field(default_factory=FrozenDict)

    def mode_of(self, model: str) -> SearchMode:
        """Who searches for this model id."""
        provider = model.partition("/")[0]
        found: SearchMode = self.models.get(model) or self.models.get(f"{provider}/*") or self.mode
        return found


def _headers(value: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, secret in value.items():
        text = secret.get_secret_value()
        if not _HEADER.fullmatch(name) or not text.isascii() or not (text.isprintable() or not text):
            refuse("must be header names with values of printable ASCII")
    return value


class McpServerSettings(Section):
    """An MCP server that requests may use by its label.

    url: where it is; unlike an address in a request it may be private. transport: `http` (streamable HTTP) or `sse`.
    command: instead of a URL, the program to start and talk to by its standard input and output; env: its
    environment beside PATH and HOME. headers: sent with every request to it, credentials among them.
    description: for the model. allowed_tools: the only ones offered. require_approval: `never`, `always`: what a
    request that does not say gets. accounts, keys: ids of those who may use it, empty for everybody.
    price: USD for each call. timeout: one call, 0 for `tools.timeout`.
    provides: type of a built-in tool (`file_search`, `code_interpreter`, ...) -> name of the tool that stands for it.
    """

    url: BaseUrl | None = None
    transport: Literal["http", "sse"] = "http"
    command: _Texts = ()
    env: Annotated[dict[str, SecretStr], AfterValidator(dict)] = Field(default_factory=dict)
    headers: Annotated[dict[str, SecretStr], AfterValidator(_headers)] = Field(default_factory=dict)
    description: str = ""
    allowed_tools: Annotated[tuple[_Text, ...] | None, ListOf] = None
    require_approval: Literal["never", "always"] = "never"
    accounts: _Texts = ()
    keys: _Texts = ()
    price: UsdPrice = Decimal(0)
    timeout: Duration = 0.0
    provides: Annotated[dict[str, _Text], AfterValidator(freeze)] = Field(default_factory=FrozenDict)

    @model_validator(mode="after")
    def _one_way(self) -> McpServerSettings:
        if (self.url is None) == (not self.command):
            refuse("needs either url or command")
        return self

    def allows(self, account_id: str, key_id: str) -> bool:
        """Whether this caller may use the server."""
        return (not self.accounts or account_id in self.accounts) and (not self.keys or key_id in self.keys)
