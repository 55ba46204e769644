"""Files."""

from __future__ import annotations

from gateway.http.api.fields import Form
from gateway.http.api.operations.common import AFTER_ITEM, READ_ERRORS, WRITE_ERRORS, page_listing, whole
from gateway.wire.chat.answers import COUNT, constant, members
from gateway.wire.json_schema import Component, Tree, or_null
from gateway.wire.multipart import upload_of
from gateway.wire.openapi import Operation, Parameter
from gateway.wire.plain_request import word
from gateway.wire.validators import integer

_TEXT: Tree = {"type": "string"}
_TAG = "Files"
_ID = Parameter("id", "The file's id.", place="path")
_UPSTREAM = (502, 504)
FILE = Component(
    "File",
    members(
        ("id", "object", "bytes", "created_at", "filename", "purpose", "status", "provider"),
        id=_TEXT,
        object=constant("file"),
        bytes=COUNT,
        created_at={"type": "integer", "description": "Unix seconds."},
        expires_at=or_null({"type": "integer"}),
        filename=_TEXT,
        purpose=_TEXT,
        status=_TEXT,
        provider={"type": "string", "description": "Where it is kept."},
    ),
)
ANCHOR, SECONDS = "expires_after[anchor]", "expires_after[seconds]"


def upload_form(most: int) -> Form:
    """The members of an upload. most: bytes of a file."""
    members = {
        "file": upload_of(most, "a file").about("What is to be kept."),
        "purpose": word.about("What it is for, in the provider's words, such as `user_data` or `vision`."),
        "provider": word.about("Which of the providers that keep files; the first of them without it."),
        ANCHOR: word.about("`created_at`."),
        SECONDS: integer(3600, 2_592_000).about("How long it is kept there."),
    }
    return Form(members, required=("file", "purpose"))


CREATE = Operation(
    "Upload a file",
    _TAG,
    "Kept at a provider, and usable there by this account alone.",
    form=Component("FileUpload", upload_form(0).tree),
    answer=FILE,
    errors=(*WRITE_ERRORS, *_UPSTREAM),
)
LIST = Operation(
    "List files",
    _TAG,
    "Newest first.",
    parameters=(
        AFTER_ITEM,
        Parameter("limit", "How many.", whole(1, 1000, 100)),
        Parameter("order", "Only `desc`.", {"type": "string", "enum": ["desc"]}),
        Parameter("purpose", "Only files for this."),
    ),
    answer=page_listing(FILE),
)
GET = Operation("Read a file's object", _TAG, parameters=(_ID,), answer=FILE)
DELETE = Operation(
    "Delete a file",
    _TAG,
    "At its provider, too.",
    parameters=(_ID,),
    answer=members(("id", "object", "deleted"), id=_TEXT, object=constant("file"), deleted={"type": "boolean"}),
    errors=(*READ_ERRORS, *_UPSTREAM),
)
CONTENT = Operation(
    "Read a file's content",
    _TAG,
    parameters=(_ID,),
    answer={"type": "string"},
    answer_type="application/octet-stream",
    errors=(*READ_ERRORS, *_UPSTREAM),
)
