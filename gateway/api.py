"""The facade: the only gateway module a plugin imports. Everything not named here may change at any time."""

from __future__ import annotations

from gateway.call import Basis, Call, Caller, Dialect, Outcome, Price, Target, Usage
from gateway.dialect import ChatDialect, Conversation, InboundDialect, Relay, Watch, bearer
from gateway.errors import CallerFault, Fault, GatewayFault, Refusal, UpstreamFault
from gateway.hookspecs import App, Router, hookimpl
from gateway.payments import Checkout, CheckoutState, Order, Part, PaymentEvent, PaymentKind, PaymentMethod
from gateway.provider import (
    Embeds,
    Exchange,
    Provider,
    ProviderKind,
    Sink,
    StreamDecoder,
    StreamItem,
    Transport,
    UpstreamReply,
    UpstreamRequest,
    WantsMedia,
)
from gateway.stores import Counters, Hold, HoldRequest, Keys, Ledger, Stores, UsageLog, UsageRow, Window
from gateway.wire.chat_fold import ChatFold, fold_stream, unfold
from gateway.wire.embeddings import embedding_input_tokens
from gateway.wire.estimate import BOUND, EXPECTED, Weights, bound_text_tokens, estimate_input_tokens, text_bytes
from gateway.wire.fault_reading import fault_from_openai_error, fault_from_stream_event
from gateway.wire.openai_dialect import ChatStreamDecoder, read_completion, redact_fault
from gateway.wire.redact import clean, redact
from gateway.wire.sse import DONE, Event, EventReader, encode_data, encode_event
from gateway.wire.waiting import read_retry_after

__all__ = [
    "BOUND",
    "DONE",
    "EXPECTED",
    "App",
    "Basis",
    "Call",
    "Caller",
    "CallerFault",
    "ChatDialect",
    "ChatFold",
    "ChatStreamDecoder",
    "Checkout",
    "CheckoutState",
    "Conversation",
    "Counters",
    "Dialect",
    "Embeds",
    "Event",
    "EventReader",
    "Exchange",
    "Fault",
    "GatewayFault",
    "Hold",
    "HoldRequest",
    "InboundDialect",
    "Keys",
    "Ledger",
    "Order",
    "Outcome",
    "Part",
    "PaymentEvent",
    "PaymentKind",
    "PaymentMethod",
    "Price",
    "Provider",
    "ProviderKind",
    "Refusal",
    "Relay",
    "Router",
    "Sink",
    "Stores",
    "StreamDecoder",
    "StreamItem",
    "Target",
    "Transport",
    "UpstreamFault",
    "UpstreamReply",
    "UpstreamRequest",
    "Usage",
    "UsageLog",
    "UsageRow",
    "WantsMedia",
    "Watch",
    "Weights",
    "Window",
    "bearer",
    "bound_text_tokens",
    "clean",
    "embedding_input_tokens",
    "encode_data",
    "encode_event",
    "estimate_input_tokens",
    "fault_from_openai_error",
    "fault_from_stream_event",
    "fold_stream",
    "hookimpl",
    "read_completion",
    "read_retry_after",
    "redact",
    "redact_fault",
    "text_bytes",
    "unfold",
]
