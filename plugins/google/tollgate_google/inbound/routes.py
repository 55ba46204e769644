"""The paths of Google's API at this gateway: `POST /models/{model}:{method}` below the API's prefixes (`/v1` is what
Google's SDK asks for since its version 3) and below `/v1beta` and `/v1alpha` (`api_version` of its SDKs), and `GET` for
the models.

A model's id contains a slash, so the rest of the path is split at its last colon. Clients that take an id with a slash
for a whole name (Vercel's AI SDK) leave `models/` out. Below the API's prefixes, where other dialects have paths of
many kinds, only those with a method of ours are taken for that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.api import CallerFault, RequestContext, Router

from .counting import count_tokens
from .dialect import METHOD, MODEL, GenerateDialect, split_path
from .models import known_name, models, models_for, refuse_key_in_url
from .operations import LIST_MODELS, get_model, operations

Handler = Callable[..., Awaitable[Any]]

VERSIONS = ("/v1beta", "/v1alpha")
"""Of Google's API, beside the gateway's own prefixes: one is as good as the other here."""

_METHODS = ("generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents")

TEMPLATES = (
    ("/models/{id...}", True),
    *((f"/{{provider}}/{{id...}}:{method}", True) for method in _METHODS),
    *((version + "/models/{id...}", False) for version in VERSIONS),
    *((version + "/{provider}/{id...}:{method}", False) for version in VERSIONS),
)
"""Where, and whether below the API's prefixes; the first is also that of `GET /models/{id}`. The last hold the colon,
so that Google's other paths (`files/NAME`, `operations/NAME`) are none of ours for any method."""


def add_routes(router: Router) -> None:
    """Register the routes of this dialect."""
    dialect = GenerateDialect()
    for template, api in TEMPLATES:
        folder, _, last = template.partition("/{id...}")
        method = last[1:] if last[1:] in _METHODS else ""
        router.add_dialect("POST", template, dialect, *operations(folder, method), api=api)
        calls = router.serving("POST", template, api=api)
        if calls is not None:
            router.add("POST", template, _handler(dialect, calls, method), api=api)
    for version in VERSIONS:
        router.add("GET", f"{version}/models", models, LIST_MODELS, api=False)
        router.add("GET", f"{version}/models/{{id...}}", models, get_model(version), api=False)
    for template in ("/models", "/models/{id...}"):
        earlier = router.serving("GET", template)
        if earlier is not None:
            router.add("GET", template, models_for(earlier))


def _handler(dialect: GenerateDialect, calls: Handler, only: str) -> Handler:
    """only: the method that the template ends with, "" where the path names it."""

    async def handler(context: RequestContext) -> Any:
        context.dialect = dialect  # in which the faults below are told
        query = context.query
        refuse_key_in_url(context)
        places = dict(context.values)
        last = only or places.pop(METHOD, "")
        last = last and f":{last}"
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
