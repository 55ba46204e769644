"""The facade: the only gateway module a plugin imports. Everything not named here may change at any time."""

from __future__ import annotations

from gateway.call import Basis, BilledRound, Call, Caller, CallProgress, Form, Outcome, Price, Target, Usage
from gateway.config import ApiKey, BaseUrl
from gateway.dialect import ChatDialect, InboundCall, InboundDialect, Relay, Watch, bearer
from gateway.errors import CallerFault, Fault, GatewayFault, Refusal, UpstreamFault, too_fast
from gateway.hookspecs import App, RequestContext, Router, hookimpl
from gateway.operations import OPERATIONS, ModelOperation
from gateway.payments import Checkout, CheckoutState, Order, Part, PaymentEvent, PaymentKind, PaymentMethod
from gateway.profile import Dialect, Profile
from gateway.provider import (
    Answer,
    Attempt,
    Exchange,
    MediaProvider,
    Provider,
    ProviderKind,
    Reader,
    Sink,
    StreamDecoder,
    StreamItem,
    Tally,
    Transport,
    UpstreamReply,
    UpstreamRequest,
)
from gateway.readers import ChatReader, EmbeddingsReader, ResponsesReader, measure_chat
from gateway.stores import Counters, Hold, HoldRequest, Keys, Ledger, Stores, UsageLog, UsageRow, Window
from gateway.tools import (
    Activity,
    Document,
    Net,
    Page,
    PageReader,
    SearchBackend,
    SearchKind,
    SearchQuery,
    SearchResult,
    ServerTool,
    Source,
    ToolFault,
    ToolImage,
    ToolResult,
    ToolRun,
)
from gateway.wire.chat.decoder import ChatStreamDecoder, read_completion
from gateway.wire.chat.fold import ChatFold, fold_stream, unfold
from gateway.wire.chat.request import refuse_forbidden
from gateway.wire.chat.tally import ChatTally
from gateway.wire.code_fences import Unfence
from gateway.wire.dropped import DroppedParams
from gateway.wire.embeddings import embedding_input_tokens
from gateway.wire.errors.parse import fault_from_openai_error, fault_from_stream_event
from gateway.wire.exact_json import load_exact
from gateway.wire.json_schema import Component
from gateway.wire.lenient import (
    as_dict,
    as_list,
    as_text,
    check_depth,
    count_of,
    dict_of,
    dicts_of,
    dump,
    nonsense,
    text_of,
    writable,
)
from gateway.wire.openapi import Operation, Parameter, SecurityScheme
from gateway.wire.pdf import PageCounter
from gateway.wire.redact import clean, redact, redact_fault
from gateway.wire.responses.decoder import ResponsesEventDecoder, read_response
from gateway.wire.responses.sealed_reasoning import is_sealed, seal, unseal
from gateway.wire.retry_after import read_retry_after
from gateway.wire.sse import DONE, Event, EventReader, encode_data, encode_event
from gateway.wire.text_pattern import TextPattern, text_member
from gateway.wire.text_tokens import expected_text_tokens, texts_of
from gateway.wire.tokens import (
    BOUND,
    EXPECTED,
    Weights,
    bound_text_tokens,
    estimate_input_tokens,
    estimate_output_tokens,
    text_bytes,
)
from gateway.wire.usage import find_usage, read_usage

__all__ = [
    "BOUND",
    "DONE",
    "EXPECTED",
    "OPERATIONS",
    "Activity",
    "Answer",
    "ApiKey",
    "App",
    "Attempt",
    "BaseUrl",
    "Basis",
    "BilledRound",
    "Call",
    "CallProgress",
    "Caller",
    "CallerFault",
    "ChatDialect",
    "ChatFold",
    "ChatReader",
    "ChatStreamDecoder",
    "ChatTally",
    "Checkout",
    "CheckoutState",
    "Component",
    "Counters",
    "Dialect",
    "Document",
    "DroppedParams",
    "EmbeddingsReader",
    "Event",
    "EventReader",
    "Exchange",
    "Fault",
    "Form",
    "GatewayFault",
    "Hold",
    "HoldRequest",
    "InboundCall",
    "InboundDialect",
    "Keys",
    "Ledger",
    "MediaProvider",
    "ModelOperation",
    "Net",
    "Operation",
    "Order",
    "Outcome",
    "Page",
    "PageCounter",
    "PageReader",
    "Parameter",
    "Part",
    "PaymentEvent",
    "PaymentKind",
    "PaymentMethod",
    "Price",
    "Profile",
    "Provider",
    "ProviderKind",
    "Reader",
    "Refusal",
    "Relay",
    "RequestContext",
    "ResponsesEventDecoder",
    "ResponsesReader",
    "Router",
    "SearchBackend",
    "SearchKind",
    "SearchQuery",
    "SearchResult",
    "SecurityScheme",
    "ServerTool",
    "Sink",
    "Source",
    "Stores",
    "StreamDecoder",
    "StreamItem",
    "Tally",
    "Target",
    "TextPattern",
    "ToolFault",
    "ToolImage",
    "ToolResult",
    "ToolRun",
    "Transport",
    "Unfence",
    "UpstreamFault",
    "UpstreamReply",
    "UpstreamRequest",
    "Usage",
    "UsageLog",
    "UsageRow",
    "Watch",
    "Weights",
    "Window",
    "as_dict",
    "as_list",
    "as_text",
    "bearer",
    "bound_text_tokens",
    "check_depth",
    "clean",
    "count_of",
    "dict_of",
    "dicts_of",
    "dump",
    "embedding_input_tokens",
    "encode_data",
    "encode_event",
    "estimate_input_tokens",
    "estimate_output_tokens",
    "expected_text_tokens",
    "fault_from_openai_error",
    "fault_from_stream_event",
    "find_usage",
    "fold_stream",
    "hookimpl",
    "is_sealed",
    "load_exact",
    "measure_chat",
    "nonsense",
    "read_completion",
    "read_response",
    "read_retry_after",
    "read_usage",
    "redact",
    "redact_fault",
    "refuse_forbidden",
    "seal",
    "text_bytes",
    "text_member",
    "text_of",
    "texts_of",
    "too_fast",
    "unfold",
    "unseal",
    "writable",
]
