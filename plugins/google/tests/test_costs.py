"""What changes price or model, or names what is kept for all callers alike, goes out in no spelling."""

from __future__ import annotations

from typing import Any

import pytest
from tollgate_google.costs import check_costs

from gateway.api import CallerFault
from gateway.testing import make_target

ROOT = "https://example.com/v1beta"


def part(**members: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [members]}]}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"tools": [{"functionDeclarations": []}, {"googleMaps": {}}]}, "tools[1].googleMaps"),
        ({"tools": [{"google_maps": {}}]}, "tools[0].google_maps"),
        ({"tools": {"fileSearch": {}}}, "tools[0].fileSearch"),
        ({"tools": [{"ofTomorrow": {}}]}, "tools[0].ofTomorrow"),
        ({"serviceTier": "priority"}, "serviceTier"),
        ({"service_tier": "PRIORITY"}, "service_tier"),
        ({"serviceTier": ["priority"]}, "serviceTier"),
        ({"routingConfig": {}}, "routingConfig"),
        ({"generationConfig": {"routingConfig": {"manualMode": {}}}}, "generationConfig.routingConfig"),
        ({"generation_config": {"routing_config": {}}}, "generation_config.routing_config"),
        ({"generationConfig": {"service_tier": "priority"}}, "generationConfig.service_tier"),
        (
            {"generationConfig": {"modelSelectionConfig": {"featureSelectionPreference": 1}}},
            "generationConfig.modelSelectionConfig",
        ),
        ({"toolConfig": {"any": [{"ServiceTier": "priority"}]}}, "toolConfig.any[0].ServiceTier"),
        ({"tools": [{"GoogleMaps": {}}]}, "tools[0].GoogleMaps"),
        (
            part(functionResponse={"parts": [{"FileData": {"FileURI": "gs://x"}}]}),
            "contents[0].parts[0].functionResponse.parts[0].FileData.FileURI",
        ),
        ({"cachedContent": "cachedContents/x"}, "cachedContent"),
        ({"cached_content": "cachedContents/x"}, "cached_content"),
        (part(fileData={"fileUri": f"{ROOT}/files/x"}), "contents[0].parts[0].fileData.fileUri"),
        *(
            (part(fileData={"fileUri": uri}), "contents[0].parts[0].fileData.fileUri")
            for uri in (
                " GS://bucket/x",
                "HTTPS://GenerativeLanguage.googleapis.com/v1/files/x",
                "/files/x",
                "http://me@generativelanguage.googleapis.com.:443/v1beta/files/x",
                ["gs://bucket/x"],
            )
        ),
        ({"tools": [[{"googleMaps": {}}]]}, "tools[0][0].googleMaps"),
        (part(file_data={"file_uri": "gs://bucket/x"}), "contents[0].parts[0].file_data.file_uri"),
        (
            part(fileData={"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}),
            "contents[0].parts[0].fileData.fileUri",
        ),
        (
            {"systemInstruction": {"parts": [{"fileData": {"fileUri": "gs://x"}}]}},
            "systemInstruction.parts[0].fileData.fileUri",
        ),
    ],
)
def test_refused(body: dict[str, Any], path: str) -> None:
    with pytest.raises(CallerFault) as raised:
        check_costs(body, ROOT, make_target())
    assert raised.value.param == path


@pytest.mark.parametrize(
    "body",
    [
        {"serviceTier": "flex", "cachedContent": "", "generationConfig": {"temperature": 1}},
        part(fileData={"fileUri": "https://youtu.be/x"}),
        part(fileData={"fileUri": "https://example.com/a.png"}),
        {"contents": "nonsense", "generationConfig": [], "systemInstruction": 1},
        {"contents": [None, {"parts": [None]}]},
    ],
)
def test_let_through(body: dict[str, Any]) -> None:
    check_costs(body, ROOT, make_target())


def test_the_operator_lets_tools_through_and_shares_stores() -> None:
    target = make_target(hosted_tools=frozenset({"google_maps", "fileSearch"}), shared_ids=frozenset({"stores/1"}))
    check_costs({"tools": [{"googleMaps": {}}, {"fileSearch": {"fileSearchStoreNames": ["stores/1"]}}]}, ROOT, target)
    with pytest.raises(CallerFault) as refused:
        check_costs({"tools": [{"fileSearch": {"fileSearchStoreNames": ["stores/2"]}}]}, ROOT, target)
    assert refused.value.param == "tools[0].fileSearch.fileSearchStoreNames[0]"
