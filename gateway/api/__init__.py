"""The facade: the only gateway module a plugin imports. Everything not named here may change at any time.

A name is imported with the first plugin that asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.deferred import later, named_in

if TYPE_CHECKING:
    from gateway.call import (
        Basis,
        BilledRound,
        Call,
        Caller,
        CallProgress,
        Form,
        Outcome,
        Price,
        Target,
        Usage,
    )
    from gateway.config import ApiKey, BaseUrl, SecretWord
    from gateway.costs import allows_tool, kept_fault, tool_fault
    from gateway.counting import count_in, count_input_tokens
    from gateway.dialect import ChatDialect, InboundCall, InboundDialect, Relay, Watch, bearer
    from gateway.errors import CallerFault, Fault, GatewayFault, Refusal, UpstreamFault, too_fast
    from gateway.explanation import ExplainedStep, Explanation
    from gateway.hookspecs import App, RequestContext, Router, hookimpl
    from gateway.inbound import Notes
    from gateway.item_readers import CompactionReader, ResponsesReader
    from gateway.operations import OPERATIONS, ModelOperation
    from gateway.payments import Checkout, CheckoutState, Order, Part, PaymentEvent, PaymentKind, PaymentMethod
    from gateway.plain_readers import (
        PLAIN_READERS,
        BytesTally,
        EmbeddingsReader,
        ImagesReader,
        ModerationReader,
        PlainReader,
        RerankReader,
        SpeechReader,
        TranscriptionReader,
    )
    from gateway.profile import COMPLETIONS, Dialect, Profile
    from gateway.provider import (
        Answer,
        Attempt,
        BatchesProvider,
        CountingProvider,
        Exchange,
        FilesProvider,
        ListedModel,
        ListingProvider,
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
    from gateway.quirks import InstanceQuirks, ModelQuirks, QuirkTable, longest_match, nearest_effort
    from gateway.readers import (
        ChatReader,
        listed_models,
        measure_chat,
    )
    from gateway.sending import bearer_header, carry_rest, get_request, json_request, post_request
    from gateway.stores import Counters, Hold, HoldRequest, Keys, Ledger, Stores, UsageLog, UsageRow, Window
    from gateway.text_filter import MakeFilter, TextFilter
    from gateway.text_readers import CompletionsReader
    from gateway.tools import (
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
    from gateway.wire.chat.activity import Activity, activity_event, activity_notes, search_activity
    from gateway.wire.chat.decoder import ChatChunkEditor, ChatStreamDecoder, read_completion
    from gateway.wire.chat.endings import failure_of, meaning_of
    from gateway.wire.chat.fold import ChatFold, fold_stream, unfold
    from gateway.wire.chat.members import allowed_tools_of, arguments_json, arguments_of, output_limit_of, stops_of
    from gateway.wire.chat.request import refuse_forbidden
    from gateway.wire.chat.straight import Finder, Straight
    from gateway.wire.chat.tally import ChatTally
    from gateway.wire.code_fences import Unfence
    from gateway.wire.dropped import DroppedParams
    from gateway.wire.efforts import EFFORTS, effort_of_budget
    from gateway.wire.embeddings import embedding_input_tokens
    from gateway.wire.errors.parse import fault_from_openai_error, fault_from_stream_event, is_too_long
    from gateway.wire.event_decoder import EventDecoder, JsonEventDecoder
    from gateway.wire.exact_json import load_exact
    from gateway.wire.function_parameters import function_parameters
    from gateway.wire.json_schema import Component, is_closed
    from gateway.wire.kept_ids import kept_ids
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
        with_cached,
        writable,
    )
    from gateway.wire.mending import StreamedJson, load_mended
    from gateway.wire.multipart import Upload, form_of_body, has_uploads, read_form, write_form
    from gateway.wire.openapi import Operation, Parameter, SecurityScheme
    from gateway.wire.pdf import PageCounter
    from gateway.wire.redact import clean, redact, redact_fault
    from gateway.wire.responses.decoder import ResponsesEventDecoder, read_response
    from gateway.wire.responses.sealed_reasoning import is_sealed, seal, unseal
    from gateway.wire.retold import Retelling
    from gateway.wire.retry_after import read_retry_after
    from gateway.wire.schema_refs import schema_of
    from gateway.wire.shortening import TextRoom
    from gateway.wire.sse import DONE, Event, EventReader, encode_data, encode_event
    from gateway.wire.stream_relay import StreamRelay
    from gateway.wire.structure import Place, fold, objects_of, path_of
    from gateway.wire.text_pattern import Passage, Surroundings, TextPattern, text_member
    from gateway.wire.text_tokens import WrittenTokens, expected_text_tokens, texts_of
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

_PLACES = {
    "gateway.call": "Basis BilledRound Call Caller CallProgress Form Outcome Price Target Usage",
    "gateway.config": "ApiKey BaseUrl SecretWord",
    "gateway.costs": "allows_tool kept_fault tool_fault",
    "gateway.counting": "count_in count_input_tokens",
    "gateway.dialect": "ChatDialect InboundCall InboundDialect Relay Watch bearer",
    "gateway.errors": "CallerFault Fault GatewayFault Refusal UpstreamFault too_fast",
    "gateway.explanation": "ExplainedStep Explanation",
    "gateway.hookspecs": "App RequestContext Router hookimpl",
    "gateway.inbound": "Notes",
    "gateway.item_readers": "CompactionReader ResponsesReader",
    "gateway.operations": "OPERATIONS ModelOperation",
    "gateway.payments": "Checkout CheckoutState Order Part PaymentEvent PaymentKind PaymentMethod",
    "gateway.plain_readers": """
            PLAIN_READERS BytesTally EmbeddingsReader ImagesReader ModerationReader PlainReader RerankReader
            SpeechReader TranscriptionReader
        """,
    "gateway.profile": "COMPLETIONS Dialect Profile",
    "gateway.provider": """
            Answer Attempt BatchesProvider CountingProvider Exchange FilesProvider ListedModel ListingProvider
            MediaProvider Provider ProviderKind Reader Sink StreamDecoder StreamItem Tally Transport
            UpstreamReply UpstreamRequest
        """,
    "gateway.quirks": "InstanceQuirks ModelQuirks QuirkTable longest_match nearest_effort",
    "gateway.readers": "ChatReader listed_models measure_chat",
    "gateway.sending": "bearer_header carry_rest get_request json_request post_request",
    "gateway.stores": "Counters Hold HoldRequest Keys Ledger Stores UsageLog UsageRow Window",
    "gateway.text_filter": "MakeFilter TextFilter",
    "gateway.text_readers": "CompletionsReader",
    "gateway.tools": """
            Document Net Page PageReader SearchBackend SearchKind SearchQuery SearchResult ServerTool Source
            ToolFault ToolImage ToolResult ToolRun
        """,
    "gateway.wire.chat.activity": "Activity activity_event activity_notes search_activity",
    "gateway.wire.chat.decoder": "ChatChunkEditor ChatStreamDecoder read_completion",
    "gateway.wire.chat.endings": "failure_of meaning_of",
    "gateway.wire.chat.fold": "ChatFold fold_stream unfold",
    "gateway.wire.chat.members": "allowed_tools_of arguments_json arguments_of output_limit_of stops_of",
    "gateway.wire.chat.request": "refuse_forbidden",
    "gateway.wire.chat.straight": "Finder Straight",
    "gateway.wire.chat.tally": "ChatTally",
    "gateway.wire.code_fences": "Unfence",
    "gateway.wire.dropped": "DroppedParams",
    "gateway.wire.efforts": "EFFORTS effort_of_budget",
    "gateway.wire.embeddings": "embedding_input_tokens",
    "gateway.wire.errors.parse": "fault_from_openai_error fault_from_stream_event is_too_long",
    "gateway.wire.event_decoder": "EventDecoder JsonEventDecoder",
    "gateway.wire.exact_json": "load_exact",
    "gateway.wire.function_parameters": "function_parameters",
    "gateway.wire.json_schema": "Component is_closed",
    "gateway.wire.kept_ids": "kept_ids",
    "gateway.wire.lenient": """
            as_dict as_list as_text check_depth count_of dict_of dicts_of dump nonsense text_of with_cached
            writable
        """,
    "gateway.wire.mending": "StreamedJson load_mended",
    "gateway.wire.multipart": "Upload form_of_body has_uploads read_form write_form",
    "gateway.wire.openapi": "Operation Parameter SecurityScheme",
    "gateway.wire.pdf": "PageCounter",
    "gateway.wire.redact": "clean redact redact_fault",
    "gateway.wire.responses.decoder": "ResponsesEventDecoder read_response",
    "gateway.wire.responses.sealed_reasoning": "is_sealed seal unseal",
    "gateway.wire.retold": "Retelling",
    "gateway.wire.retry_after": "read_retry_after",
    "gateway.wire.schema_refs": "schema_of",
    "gateway.wire.shortening": "TextRoom",
    "gateway.wire.sse": "DONE Event EventReader encode_data encode_event",
    "gateway.wire.stream_relay": "StreamRelay",
    "gateway.wire.structure": "Place fold objects_of path_of",
    "gateway.wire.text_pattern": "Passage Surroundings TextPattern text_member",
    "gateway.wire.text_tokens": "WrittenTokens expected_text_tokens texts_of",
    "gateway.wire.tokens": """
            BOUND EXPECTED Weights bound_text_tokens estimate_input_tokens estimate_output_tokens text_bytes
        """,
    "gateway.wire.usage": "find_usage read_usage",
}
"""Of the imports above, at run time."""

__getattr__ = named_in(__name__, _PLACES)

__all__ = [
    "BOUND",
    "COMPLETIONS",
    "DONE",
    "EFFORTS",
    "EXPECTED",
    "OPERATIONS",
    "PLAIN_READERS",
    "Activity",
    "Answer",
    "ApiKey",
    "App",
    "Attempt",
    "BaseUrl",
    "Basis",
    "BatchesProvider",
    "BilledRound",
    "BytesTally",
    "Call",
    "CallProgress",
    "Caller",
    "CallerFault",
    "ChatChunkEditor",
    "ChatDialect",
    "ChatFold",
    "ChatReader",
    "ChatStreamDecoder",
    "ChatTally",
    "Checkout",
    "CheckoutState",
    "CompactionReader",
    "CompletionsReader",
    "Component",
    "Counters",
    "CountingProvider",
    "Dialect",
    "Document",
    "DroppedParams",
    "EmbeddingsReader",
    "Event",
    "EventDecoder",
    "EventReader",
    "Exchange",
    "ExplainedStep",
    "Explanation",
    "Fault",
    "FilesProvider",
    "Finder",
    "Form",
    "GatewayFault",
    "Hold",
    "HoldRequest",
    "ImagesReader",
    "InboundCall",
    "InboundDialect",
    "InstanceQuirks",
    "JsonEventDecoder",
    "Keys",
    "Ledger",
    "ListedModel",
    "ListingProvider",
    "MakeFilter",
    "MediaProvider",
    "ModelOperation",
    "ModelQuirks",
    "ModerationReader",
    "Net",
    "Notes",
    "Operation",
    "Order",
    "Outcome",
    "Page",
    "PageCounter",
    "PageReader",
    "Parameter",
    "Part",
    "Passage",
    "PaymentEvent",
    "PaymentKind",
    "PaymentMethod",
    "Place",
    "PlainReader",
    "Price",
    "Profile",
    "Provider",
    "ProviderKind",
    "QuirkTable",
    "Reader",
    "Refusal",
    "Relay",
    "RequestContext",
    "RerankReader",
    "ResponsesEventDecoder",
    "ResponsesReader",
    "Retelling",
    "Router",
    "SearchBackend",
    "SearchKind",
    "SearchQuery",
    "SearchResult",
    "SecretWord",
    "SecurityScheme",
    "ServerTool",
    "Sink",
    "Source",
    "SpeechReader",
    "Stores",
    "Straight",
    "StreamDecoder",
    "StreamItem",
    "StreamRelay",
    "StreamedJson",
    "Surroundings",
    "Tally",
    "Target",
    "TextFilter",
    "TextPattern",
    "TextRoom",
    "ToolFault",
    "ToolImage",
    "ToolResult",
    "ToolRun",
    "TranscriptionReader",
    "Transport",
    "Unfence",
    "Upload",
    "UpstreamFault",
    "UpstreamReply",
    "UpstreamRequest",
    "Usage",
    "UsageLog",
    "UsageRow",
    "Watch",
    "Weights",
    "Window",
    "WrittenTokens",
    "activity_event",
    "activity_notes",
    "allowed_tools_of",
    "allows_tool",
    "arguments_json",
    "arguments_of",
    "as_dict",
    "as_list",
    "as_text",
    "bearer",
    "bearer_header",
    "bound_text_tokens",
    "carry_rest",
    "check_depth",
    "clean",
    "count_in",
    "count_input_tokens",
    "count_of",
    "dict_of",
    "dicts_of",
    "dump",
    "effort_of_budget",
    "embedding_input_tokens",
    "encode_data",
    "encode_event",
    "estimate_input_tokens",
    "estimate_output_tokens",
    "expected_text_tokens",
    "failure_of",
    "fault_from_openai_error",
    "fault_from_stream_event",
    "find_usage",
    "fold",
    "fold_stream",
    "form_of_body",
    "function_parameters",
    "get_request",
    "has_uploads",
    "hookimpl",
    "is_closed",
    "is_sealed",
    "is_too_long",
    "json_request",
    "kept_fault",
    "kept_ids",
    "later",
    "listed_models",
    "load_exact",
    "load_mended",
    "longest_match",
    "meaning_of",
    "measure_chat",
    "named_in",
    "nearest_effort",
    "nonsense",
    "objects_of",
    "output_limit_of",
    "path_of",
    "post_request",
    "read_completion",
    "read_form",
    "read_response",
    "read_retry_after",
    "read_usage",
    "redact",
    "redact_fault",
    "refuse_forbidden",
    "schema_of",
    "seal",
    "search_activity",
    "stops_of",
    "text_bytes",
    "text_member",
    "text_of",
    "texts_of",
    "too_fast",
    "tool_fault",
    "unfold",
    "unseal",
    "with_cached",
    "writable",
    "write_form",
]
