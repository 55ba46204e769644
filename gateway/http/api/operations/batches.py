"""Batches."""

from __future__ import annotations

from gateway.http.api.fields import Form
from gateway.http.api.operations.common import AFTER_ITEM, ITEM_LIMIT, READ_ERRORS, WRITE_ERRORS, page_listing
from gateway.wire.batches import MEMBERS, REQUIRED
from gateway.wire.chat.answers import COUNT, constant, members
from gateway.wire.json_schema import Component, Tree, or_null
from gateway.wire.openapi import Operation, Parameter

_TEXT: Tree = {"type": "string"}
_MOMENT = or_null({"type": "integer", "description": "Unix seconds."})
_TAG = "Batches"
_ID = Parameter("id", "The batch's id.", place="path")
_UPSTREAM = (502, 504)
_ERROR = members((), code=or_null(_TEXT), message=or_null(_TEXT), param=or_null(_TEXT),
                 line=or_null({"type": "integer"}))  # fmt: skip
BATCH = Component(
    "Batch",
    members(
        ("id", "object", "endpoint", "model", "input_file_id", "completion_window", "created_at", "status",
         "request_counts", "provider", "cost"),
        id=_TEXT,
        object=constant("batch"),
        endpoint=_TEXT,
        model=_TEXT,
        input_file_id=_TEXT,
        completion_window=_TEXT,
        created_at={"type": "integer", "description": "Unix seconds."},
        status={"type": "string", "description": "`validating`, `in_progress`, `finalizing`, `cancelling`, or how it "
                "ended: `completed`, `failed`, `expired`, `cancelled`."},
        errors=or_null(members((), object=_TEXT, data={"type": "array", "items": _ERROR})),
        output_file_id=or_null(_TEXT),
        error_file_id=or_null(_TEXT),
        request_counts=members(("total", "completed", "failed"), total=COUNT, completed=COUNT, failed=COUNT),
        metadata=or_null({"type": "object", "additionalProperties": _TEXT}),
        usage={"type": "object", "description": "Tokens of all answers, where the provider tells them."},
        **dict.fromkeys(
            ("in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at", "expired_at",
             "cancelling_at", "cancelled_at"), _MOMENT,
        ),
        provider={"type": "string", "description": "Where it is answered."},
        cost=members(
            ("held", "charged", "basis"),
            held={"type": "integer", "description": "Credits that it can cost at most: charged when it is made."},
            charged={"type": ["integer", "null"], "description": "Credits that it did cost; null until it is over."},
            basis={"type": ["string", "null"], "description": "`provider`, or `estimated` where answers could not be "
                   "read and their bound was charged."},
        ),
    ),
)  # fmt: skip

CREATE = Operation(
    "Create a batch",
    _TAG,
    "Each request of the file is checked as a call of the endpoint, and what all can cost at most is charged; what "
    "they did not cost is given back when the batch is over.",
    request=Component("BatchRequest", Form(MEMBERS, required=REQUIRED).tree),
    answer=BATCH,
    errors=(402, *WRITE_ERRORS, *_UPSTREAM),
)
LIST = Operation(
    "List batches",
    _TAG,
    "Newest first.",
    parameters=(AFTER_ITEM, ITEM_LIMIT),
    answer=page_listing(BATCH),
)
GET = Operation("Read a batch", _TAG, parameters=(_ID,), answer=BATCH)
CANCEL = Operation(
    "Cancel a batch",
    _TAG,
    "What was answered by then is billed.",
    parameters=(_ID,),
    answer=BATCH,
    errors=(*READ_ERRORS, 409, *_UPSTREAM),
)
