"""The endpoints of a provider's section: one, or one for each of its `keys`, or those that it lists."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from gateway.config.document import Where
from gateway.config.explain import Checker
from gateway.config.provider_sections import EndpointTerms, ProviderTerms
from gateway.config.settings import EndpointEntry

_KEY = "api_key"


def read_endpoints(
    checker: Checker, path: Where, terms: ProviderTerms, model: type[BaseModel], settings: dict[str, Any]
) -> list[EndpointEntry]:
    """The endpoints of the section at `path`; problems are reported, and an endpoint that has one is left out.

    model: of the plugin's settings. settings: the section without what the core reads of it.
    """
    if terms.keys is not None:
        return _by_key(checker, path, terms.keys, model, settings)
    if terms.endpoints is not None:
        return _listed(checker, path, terms.endpoints, model, settings)
    section = checker.check(model, settings, path, foreign=True, beside=ProviderTerms.model_fields)
    return [] if section is None else [EndpointEntry("1", section)]


def _by_key(
    checker: Checker, path: Where, keys: tuple[str, ...], model: type[BaseModel], settings: dict[str, Any]
) -> list[EndpointEntry]:
    if _KEY not in model.model_fields:
        checker.document.report((*path, "keys"), "this kind of provider has no api_key")
        return []
    if _KEY in settings:
        checker.document.report((*path, "keys"), "stands beside api_key: put that key into the list too")
        return []
    # An empty one is a variable that is not set; without any the provider is switched off as without `api_key`.
    used = [(index, key) for index, key in enumerate(keys) if key and key not in keys[:index]] or [(0, "")]
    made = []
    for index, key in used:
        section = checker.check(model, {**settings, _KEY: key}, path, foreign=True, beside=ProviderTerms.model_fields)
        if section is not None:
            made.append(EndpointEntry(str(index + 1), section))
    return made


def _listed(
    checker: Checker, path: Where, entries: tuple[dict[str, Any], ...], model: type[BaseModel], settings: dict[str, Any]
) -> list[EndpointEntry]:
    made: list[EndpointEntry] = []
    for index, entry in enumerate(entries):
        here = (*path, "endpoints", index)
        own = {key: value for key, value in entry.items() if key in EndpointTerms.model_fields}
        rest = {key: value for key, value in entry.items() if key not in own}
        terms = checker.check(EndpointTerms, own, here)
        section = checker.check(model, {**settings, **rest}, here, foreign=True, beside=EndpointTerms.model_fields)
        if terms is None or section is None:
            continue
        label = terms.name or str(index + 1)
        if any(label == other.label for other in made):
            checker.document.report((*here, "name"), "another endpoint has this name")
        made.append(EndpointEntry(label, section, terms.weight))
    return made
