"""The front door: the public names of `gateway.api`, pinned. A change here is a change for every plugin."""

from __future__ import annotations

import gateway.api
import gateway.api.stores
import gateway.stores

NAMES = """
Activity
Answer
ApiKey
App
Attempt
BOUND
BaseUrl
Basis
BatchesProvider
BilledRound
BytesTally
COMPLETIONS
Call
CallProgress
Caller
CallerFault
ChatChunkEditor
ChatDialect
ChatFold
ChatReader
ChatStreamDecoder
ChatTally
Checkout
CheckoutState
CompactionReader
CompletionsReader
Component
Counters
CountingProvider
DONE
Dialect
Document
DroppedParams
EFFORTS
EXPECTED
EmbeddingsReader
Event
EventDecoder
EventReader
Exchange
ExplainedStep
Explanation
Fault
FilesProvider
Finder
Form
GatewayFault
Hold
HoldRequest
ImagesReader
InboundCall
InboundDialect
InstanceQuirks
JsonEventDecoder
Keys
Ledger
ListedModel
ListingProvider
MakeFilter
MediaProvider
ModelOperation
ModelQuirks
ModerationReader
Net
Notes
OPERATIONS
Operation
Order
Outcome
PLAIN_READERS
Page
PageCounter
PageReader
Parameter
Part
Passage
PaymentEvent
PaymentKind
PaymentMethod
Place
PlainReader
Price
Profile
Provider
ProviderKind
QuirkTable
Reader
Refusal
Relay
RequestContext
RerankReader
ResponsesEventDecoder
ResponsesReader
Retelling
Router
SearchBackend
SearchKind
SearchQuery
SearchResult
SecretWord
SecurityScheme
ServerTool
Sink
Source
SpeechReader
Stores
Straight
StreamDecoder
StreamItem
StreamRelay
StreamedJson
Surroundings
Tally
Target
TextFilter
TextPattern
TextRoom
ToolFault
ToolImage
ToolResult
ToolRun
TranscriptionReader
Transport
Unfence
Upload
UpstreamFault
UpstreamReply
UpstreamRequest
Usage
UsageLog
UsageRow
Watch
Weights
Window
WrittenTokens
activity_event
activity_notes
allowed_tools_of
allows_tool
arguments_json
arguments_of
as_dict
as_list
as_text
bearer
bearer_header
bound_text_tokens
carry_rest
check_depth
clean
count_in
count_input_tokens
count_of
dict_of
dicts_of
dump
effort_of_budget
embedding_input_tokens
encode_data
encode_event
estimate_input_tokens
estimate_output_tokens
expected_text_tokens
failure_of
fault_from_openai_error
fault_from_stream_event
find_usage
fold
fold_stream
form_of_body
function_parameters
get_request
has_uploads
hookimpl
is_closed
is_sealed
is_too_long
json_request
kept_fault
kept_ids
later
listed_models
load_exact
load_mended
longest_match
meaning_of
measure_chat
named_in
nearest_effort
nonsense
objects_of
output_limit_of
path_of
post_request
read_completion
read_form
read_response
read_retry_after
read_usage
redact
redact_fault
refuse_forbidden
schema_of
seal
search_activity
stops_of
text_bytes
text_member
text_of
texts_of
too_fast
tool_fault
unfold
unseal
with_cached
writable
write_form
""".split()


def test_public_names_are_pinned():
    assert sorted(gateway.api.__all__) == NAMES


def test_names_are_sorted_and_exist():
    assert sorted(NAMES) == NAMES
    assert [name for name in NAMES if not hasattr(gateway.api, name)] == []


def test_nothing_else_is_public():
    # The facade for authors of stores is a module of the package.
    names = {*NAMES, "stores", "TYPE_CHECKING"}
    others = [name for name in vars(gateway.api) if not name.startswith("_") and name not in names]
    assert [name for name in others if name != "annotations" and name.isidentifier()] == []


def test_the_facade_for_stores_is_complete_and_nothing_else():
    named = set(gateway.api.stores.__all__)
    # pytest puts names that are no identifiers into modules whose assertions it rewrites.
    found = [name for name in vars(gateway.api.stores) if name.isidentifier() and not name.startswith("_")]
    public = {*found} - {"annotations"}
    assert named == public
    assert set(gateway.stores.__all__) <= named, "every protocol and value of the stores"
