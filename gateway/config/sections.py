"""The sections of the core, with their defaults. Units: seconds, bytes, tokens, credits; USD in prices.

What each setting does is told here and, for operators, in the commented `config.yaml`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, model_validator

from gateway.config.alert_sections import AlertSettings
from gateway.config.hosts import HostEntry
from gateway.config.price_sections import PriceSettings
from gateway.config.record_sections import RecordSettings
from gateway.config.sign_in_sections import SignInSettings
from gateway.config.state_sections import (
    BatchesSettings,
    FilesSettings,
    IdempotencySettings,
    ResponsesSettings,
    SomeBytes,
    StorageSettings,
    UsageSettings,
)
from gateway.config.tool_sections import SearchSettings, ToolSettings
from gateway.config.types import (
    Credits,
    Duration,
    FrozenDict,
    ListOf,
    Network,
    OptionalText,
    Section,
    Size,
    Tokens,
    UsdPrice,
    freeze,
    is_address,
    refuse,
)

SomeTime = Annotated[Duration, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], ListOf]
Modality = Literal["text", "image", "audio", "file", "video"]
Modalities = Annotated[tuple[Modality, ...], ListOf, Field(min_length=1)]


def _host(value: str) -> str:
    if re.search(r"[\s/@?#\[\]]", value):
        refuse("must be a host name or an IP address alone, such as 127.0.0.1, 0.0.0.0 or ::")
    return value


def _public_url(value: str | None) -> str | None:
    if value is None:
        return None
    if not is_address(value):
        refuse("must be an address such as https://llm.example.org, without user, query or fragment")
    return value.rstrip("/")


def _proxy(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"https?://([^\s@/]+@)?[^\s@/?#]+", value):
        refuse("must be an address such as http://proxy.example.org:3128")
    return value


def _database_url(value: str) -> str:
    scheme, _, rest = value.partition("://")
    if not re.fullmatch(r"[a-z][a-z0-9+]*", scheme) or not rest:
        refuse("must be a URL such as sqlite:///data/gateway.db")
    return value


def _folder(value: Any) -> Path | None:
    if value in (None, ""):
        return None
    if not isinstance(value, str | Path) or "\0" in str(value):
        refuse("must be the path of a folder")
    return Path(value)


def _origin(value: str) -> str:
    if value != "*" and not re.fullmatch(
        r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:]+\]|[^\s/?#@:*\[\]A-Z]+)(:([0-9]+|\*))?", value
    ):
        refuse(
            "must be an origin such as https://app.example.org, http://localhost:* or *: in lower case, without a path"
        )
    return value


class Server(Section):
    """The listening side.

    host, port: where to listen (port 0: any free one). workers: processes that share the port.
    max_body: the largest request body; max_upload: the same of a form with files. json_values: the most values in a
    body. drain: how long running answers may go on after a stop was asked for. drain_delay: how long requests are
    still taken then, though /readyz says `draining`.
    request_head_timeout, body_timeout: how long a client may take to send head and body; a body must also not
    come slower than min_body_rate (bytes per second), nor take longer than max_body_time in all. write_timeout: how
    long a caller may read slower than that rate from an answer that waits for it. max_in_flight,
    max_in_flight_per_account: bytes of bodies that were read and of answers that were not taken yet. keep_alive:
    interval of SSE comments while an upstream is silent, 0 for none. idle_connection: how long a connection may stay
    open between requests. trusted_proxies: peers whose X-Forwarded-* headers are believed. public_url: how clients
    reach this gateway. cors_origins: whose web pages may call the API from a browser.
    """

    host: Annotated[Text, AfterValidator(_host)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    max_body: SomeBytes = 20 << 20
    # A recording may have 25 MiB (OpenAI's API reference), and there is something around it.
    max_upload: SomeBytes = 26 << 20
    drain: Duration = 60.0
    drain_delay: Duration = 0.0
    request_head_timeout: SomeTime = 10.0
    body_timeout: SomeTime = 60.0
    min_body_rate: Size = 1 << 10
    max_body_time: SomeTime = 10 * 60.0
    write_timeout: SomeTime = 60.0
    max_in_flight: SomeBytes = 512 << 20
    max_in_flight_per_account: SomeBytes = 128 << 20
    keep_alive: Duration = 15.0
    idle_connection: SomeTime = 75.0
    max_header_size: Annotated[Size, Field(ge=1 << 10, le=1 << 20)] = 32 << 10
    max_headers: Annotated[int, Field(ge=8, le=10_000)] = 128
    # orjson reads 1,024 levels but writes only 254: a deeper body could be read and then not be passed on.
    json_depth: Annotated[int, Field(ge=8, le=250)] = 128
    # Time and memory go by the number of values, which nesting and bytes say nothing about.
    json_values: Annotated[int, Field(ge=1_000, le=100_000_000)] = 400_000
    trusted_proxies: Annotated[tuple[Network, ...], ListOf] = ()
    public_url: Annotated[OptionalText, AfterValidator(_public_url)] = None
    # Pages that a developer serves on the own machine; of the internet's none.
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], ListOf] = (
        "http://localhost:*",
        "http://127.0.0.1:*",
    )


class Database(Section):
    """Where accounts, keys, ledger and usage are kept.

    url: its scheme chooses the store among those that the plugins offer (`register_stores`), which says what the rest
    means. The gateway itself brings `sqlite`.
    retention: how long rows of the usage log are kept; response_retention: stored answers of the Responses API.
    The ledger is never shortened. min_free: how much of the disk must be free for calls to be taken.
    """

    url: Annotated[Text, AfterValidator(_database_url), Field(repr=False)] = "sqlite:///data/gateway.db"
    retention: SomeTime = 90 * 86400.0
    response_retention: SomeTime = 30 * 86400.0
    min_free: Size = 256 << 20


class CounterSettings(Section):
    """Where rate windows are counted.

    url: its scheme chooses the place among those that the plugins offer (`register_counters`), such as
    redis://localhost:6379/0; none for the database itself. away: what happens while that place cannot be asked:
    `store` counts in the database meanwhile, `refuse` answers 503.
    """

    url: Annotated[OptionalText, Field(repr=False)] = None
    away: Literal["store", "refuse"] = "store"


class Timeouts(Section):
    """Time limits of one provider or one model in the place of those of `upstream`; what is left out is as there.

    total: of one attempt; that of `upstream` still bounds the call.
    """

    connect: SomeTime | None = None
    first_byte: SomeTime | None = None
    idle: SomeTime | None = None
    total: SomeTime | None = None


class Cooldown(Section):
    """When a target that fails is left alone. failures: so many in a row, 0: never. pause: the first time, doubled each
    time a trial fails. longest: at most so long, also for a target that names the time itself."""

    failures: Annotated[int, Field(ge=0, le=1000)] = 3
    pause: SomeTime = 5.0
    longest: SomeTime = 300.0

    @model_validator(mode="after")
    def _in_order(self) -> Cooldown:
        if self.pause > self.longest:
            refuse("pause must not be longer than longest")
        return self


class Upstream(Section):
    """The outbound side: four separate time limits, retries before the first byte was relayed, and sizes.

    first_byte: from the request's last byte to the answer's first. idle: between two pieces of an answer.
    max_event: one event of a stream. max_reply: a whole answer that does not stream. drain: how long an answer is
    still read for a caller who left, at providers whose policy is to drain. cooldown: when a target that fails is
    left alone. list_models: how often providers are asked for what patterns such as `local/*` take. proxy: an HTTP
    proxy for all requests to providers, with user and password in the URL if it wants them.
    """

    connect: SomeTime = 10.0
    # A whole answer has no first byte before its last token, and reasoning models think for minutes.
    first_byte: SomeTime = 5 * 60.0
    idle: SomeTime = 2 * 60.0
    total: SomeTime = 30 * 60.0
    drain: Duration = 60.0
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    backoff: Duration = 0.25
    max_backoff: Duration = 8.0
    cooldown: Cooldown = Cooldown()
    list_models: SomeTime = 300.0
    max_event: Annotated[Size, Field(gt=0, le=64 << 20)] = 32 << 20
    max_reply: SomeBytes = 64 << 20
    # As many as one machine can have streams at a time; each costs a file, whose limit is the system's.
    connections_per_host: Annotated[int, Field(ge=1, le=65535)] = 16384
    proxy: Annotated[OptionalText, AfterValidator(_proxy), Field(repr=False)] = None


class FetchSettings(Section):
    """Fetching media by URL, for providers that take bytes only.

    max_size: one piece of media; max_total: all of one request together. timeout: one piece with all its redirects,
    waiting for a free place among `concurrency` included; connect: DNS, TCP and TLS of each hop. max_per_request:
    different URLs. allow_hosts: what may be reached although it is not on the public internet; an entry with a port
    means this port of it, one without means `ports`. private_links: URLs of hosts that are not on the public internet
    may be passed on to providers that fetch media themselves.
    """

    enabled: bool = False
    max_size: SomeBytes = 20 << 20
    max_total: SomeBytes = 40 << 20
    timeout: SomeTime = 15.0
    connect: SomeTime = 5.0
    max_redirects: Annotated[int, Field(ge=0, le=10)] = 3
    max_per_request: Annotated[int, Field(ge=1, le=1000)] = 16
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 32
    ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], ListOf, Field(min_length=1)] = (80, 443)
    private_links: bool = False
    allow_hosts: Annotated[tuple[HostEntry, ...], ListOf] = ()


class CreditSettings(Section):
    """per_usd: credits for one USD; the default makes USD per million tokens the same as credits per token.
    signup_grant: what a new account begins with. minimum_output: the fewest output tokens a request is worth
    sending with; a balance that cannot pay for them is refused with 402. hold_step: output tokens that the hold of a
    streamed answer covers at first, and grows by; without one, a hold covers the whole answer. hold: what must be there
    for a long input: what is expected, with hold_margin percent added, or `strict`: a token for each byte."""

    per_usd: Annotated[int, Field(ge=1, le=10**9)] = 1_000_000
    signup_grant: Credits = 0
    minimum_output: Tokens = 16
    hold_step: Tokens | None = 4096
    hold: Literal["expected", "strict"] = "expected"
    hold_margin: Annotated[int, Field(ge=0, le=1000)] = 25


class KeyRules(Section):
    """prefix: how keys begin. per_account: the most active keys an account may have."""

    prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,15}_$")] = "mghp_"
    per_account: Annotated[int, Field(ge=1, le=10_000)] = 10


class PluginSettings(Section):
    """dir: a folder of plain .py files that are plugins too, relative to the configuration file.
    enable: the only plugins to use; left out, all that are installed. disable: plugins not to use."""

    dir: Annotated[Path | None, PlainValidator(_folder)] = None
    enable: Annotated[tuple[Text, ...] | None, ListOf] = None
    disable: Texts = ()


class LogSettings(Section):
    """format: `auto` is text on a terminal, and JSON elsewhere. bodies: at level debug, log the bodies of model calls
    and of their answers; they hold what people wrote."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"
    bodies: bool = False


class MetricsSettings(Section):
    """token: what a scraper must send as `Authorization: Bearer`; without one, metrics are for loopback only.
    accounts: balance and credits of each account too, which makes some series for each."""

    enabled: bool = True
    accounts: bool = False
    token: Annotated[OptionalText, Field(repr=False)] = None


class ConsoleSettings(SignInSettings):
    """The pages for people. enabled: off, there are none, and the API is all there is. name: what they call this
    service. currency: in which money is shown beside credits; currency_per_usd: how much of it one USD is."""

    enabled: bool = True
    name: Annotated[Text, Field(max_length=60)] = "Tollgate"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    currency_per_usd: Annotated[UsdPrice, Field(gt=0)] = Decimal(1)


class Core(Section):
    """All keys of the file that belong to the core, except providers, models and aliases."""

    server: Server = Server()
    database: Database = Database()
    counters: CounterSettings = CounterSettings()
    upstream: Upstream = Upstream()
    fetch: FetchSettings = FetchSettings()
    credits: CreditSettings = CreditSettings()
    keys: KeyRules = KeyRules()
    responses: ResponsesSettings = ResponsesSettings()
    storage: StorageSettings = StorageSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    tools: ToolSettings = ToolSettings()
    # A factory for the same reason as below: a copied default would hold ordinary dicts.
    search: SearchSettings = Field(default_factory=SearchSettings)
    plugins: PluginSettings = PluginSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    alerts: AlertSettings = AlertSettings()
    usage: UsageSettings = UsageSettings()
    files: FilesSettings = FilesSettings()
    batches: BatchesSettings = BatchesSettings()
    console: ConsoleSettings = ConsoleSettings()
    record: RecordSettings = RecordSettings()
    pipeline: Texts = ("auth", "model_allow_list", "rate_limit", "quota", "routing", "usage_log")
    default_model: OptionalText = None
    strict: bool = False


class ModelSettings(Section):
    """One model. provider: the name of a provider section, by default what stands before the id's first slash.
    upstream: the model's name there, by default what stands after it. context, max_output: limits in tokens.
    timeouts: in the place of the provider's and of those of `upstream`. operations: what it does, of what its provider
    can; left out, the provider says.
    options: free-form settings for the provider's plugin; read-only."""

    provider: Text | None = None
    upstream: Text | None = None
    name: Text | None = None
    description: str = ""
    price: PriceSettings | None = None
    free: bool = False
    context: Tokens | None = None
    max_output: Tokens | None = None
    timeouts: Timeouts = Timeouts()
    input_modalities: Modalities = ("text",)
    output_modalities: Modalities = ("text",)
    operations: Annotated[tuple[Text, ...] | None, ListOf, Field(min_length=1)] = None
    supported_parameters: Texts = ()
    # A factory, because pydantic copies defaults, and a copy of a FrozenDict is an ordinary dict.
    options: Annotated[dict[str, Any], AfterValidator(freeze)] = Field(default_factory=FrozenDict)

    @model_validator(mode="after")
    def _free_or_priced(self) -> ModelSettings:
        if self.free and self.price is not None:
            refuse("has a price and is free: keep one of the two")
        return self


class PaymentTerms(Section):
    """What the core reads of a payment service's section; the other keys are its plugin's.
    minimum, maximum: of one order, in USD and whole cents."""

    minimum: UsdPrice = Decimal(5)
    maximum: UsdPrice = Decimal(1000)

    @model_validator(mode="after")
    def _cents(self) -> PaymentTerms:
        for name in ("minimum", "maximum"):
            if getattr(self, name) * 100 % 1:
                refuse(f"{name} must be whole cents, as in 5.00")
        if not 0 < self.minimum <= self.maximum:
            refuse("minimum must be more than 0, and not more than maximum")
        return self


class AliasEntry(Section):
    """One step of an alias; see `gateway.config.Alias`."""

    model: Text
    weight: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    when: Literal["unavailable"] | None = None

    @model_validator(mode="after")
    def _weight_or_condition(self) -> AliasEntry:
        if self.weight is not None and self.when is not None:
            refuse("cannot have both weight and when; give the weighted entries an alias of their own")
        return self
