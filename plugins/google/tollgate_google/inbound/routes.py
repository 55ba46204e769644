"""The paths of Google's API at this gateway: `POST /models/{model}:{method}` below the API's prefixes (`/v1` is what
Google's SDK asks for since its version 3) and below `/v1beta`, and `GET` for the models.

A model's id contains a slash, so the rest of the path is split at its last colon. Clients that take an id with a slash
for a whole name (Vercel's AI SDK) leave `models/` out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.api import CallerFault, RequestContext, Router

from .counting import count_tokens
from .dialect import METHOD, MODEL, GenerateDialect, split_path
from .models import known_name, models, models_for, refuse_key_in_url
from .operations import GET_MODEL, LIST_MODELS, operations

Handler = Callable[..., Awaitable[Any]]

TEMPLATES = (
    ("/models/{id...}", True),
    ("/v1beta/models/{id...}", False),
    ("/v1beta/{provider}/{id...}:{method}", False),
)
"""Where, and whether below the API's prefixes; the first is also that of `GET /models/{id}`. The last holds the colon,
so that Google's other paths (`files/NAME`, `operations/NAME`) are none of ours for any method."""

_METHODS = ("generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents")


def add_routes(router: Router) -> None:
    """Register the routes of this dialect."""
    dialect = GenerateDialect()
    for template, api in TEMPLATES:
        described = operations(template.partition("/{id...}")[0])
        router.add_dialect("POST", template, dialect, *described, api=api)
        calls = router.serving("POST", template, api=api)
        if calls is not None:
            router.add("POST", template, _handler(dialect, calls), api=api)
    router.add("GET", "/v1beta/models", models, LIST_MODELS, api=False)
    router.add("GET", "/v1beta/models/{id...}", models, GET_MODEL, api=False)
    for template in ("/models", "/models/{id...}"):
        earlier = router.serving("GET", template)
        if earlier is not None:
            router.add("GET", template, models_for(earlier))


def _handler(dialect: GenerateDialect, calls: Handler) -> Handler:
    async def handler(context: RequestContext) -> Any:
        context.dialect = dialect  # in which the faults below are told
        query = context.query
        refuse_key_in_url(context)
        places = dict(context.values)
        last = f":{places.pop(METHOD)}" if METHOD in places else ""
        model, method = split_path("/".join(places.values()) + last)
        if method not in _METHODS:
            raise CallerFault(
                f"The method {method[:60]!r} is not known here; there are {', '.join(_METHODS)}.",
                status=404,
                code="not_found",
            )
        if method == "streamGenerateContent" and query.get("alt") != "sse":
            raise CallerFault("alt: streams are server-sent events here; add ?alt=sse to the address.", param="alt")
        context.values = {MODEL: known_name(context, model), METHOD: method}
        return await (count_tokens if method == "countTokens" else calls)(context)

    return handler
