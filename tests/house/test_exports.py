"""The front door: the public names of `gateway.api`, pinned. A change here is a change for every plugin."""

from __future__ import annotations

import gateway.api

NAMES = """
ApiKey
App
BOUND
BaseUrl
Basis
BilledRound
Call
Caller
CallerFault
ChatDialect
ChatFold
ChatStreamDecoder
Checkout
CheckoutState
Component
Counters
DONE
Dialect
Document
DroppedParams
EXPECTED
Embeds
Event
EventReader
Exchange
Fault
Form
GatewayFault
Hold
HoldRequest
InboundCall
InboundDialect
Keys
Ledger
Net
Operation
Order
Outcome
Page
PageCounter
PageReader
Parameter
Part
PaymentEvent
PaymentKind
PaymentMethod
Price
Provider
ProviderKind
Refusal
Relay
ResponsesEventDecoder
Router
SearchBackend
SearchKind
SearchQuery
SearchResult
SecurityScheme
ServerTool
Sink
Source
Stores
StreamDecoder
StreamItem
Target
ToolFault
ToolImage
ToolResult
ToolRun
Transport
Unfence
UpstreamFault
UpstreamReply
UpstreamRequest
Usage
UsageLog
UsageRow
WantsMedia
Watch
Weights
Window
as_dict
as_list
as_text
bearer
bound_text_tokens
check_depth
clean
count_of
dict_of
dicts_of
dump
embedding_input_tokens
encode_data
encode_event
estimate_input_tokens
fault_from_openai_error
fault_from_stream_event
find_usage
fold_stream
hookimpl
is_sealed
nonsense
read_completion
read_response
read_retry_after
read_usage
redact
redact_fault
refuse_forbidden
seal
text_bytes
text_of
unfold
unseal
writable
""".split()


def test_public_names_are_pinned():
    assert sorted(gateway.api.__all__) == NAMES


def test_names_are_sorted_and_exist():
    assert sorted(NAMES) == NAMES
    assert [name for name in NAMES if not hasattr(gateway.api, name)] == []


def test_nothing_else_is_public():
    others = [name for name in vars(gateway.api) if not name.startswith("_") and name not in NAMES]
    assert [name for name in others if name != "annotations"] == []
