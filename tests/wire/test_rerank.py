"""Rankings: requests, sizes, answers."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import CallerFault
from gateway.wire import rerank

BODY = {"query": "q", "documents": ["a", {"text": "b", "id": 7}, "c"]}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": None}, "query"),
        ({"documents": None}, "documents"),
        ({"documents": "a"}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": ["a"] * 10_001}, "documents"),
        ({"documents": ["a", {"title": "b"}]}, "documents[1]"),
        ({"documents": [1]}, "documents[0]"),
        ({"top_n": 0}, "top_n"),
        ({"return_documents": "yes"}, "return_documents"),
        ({"api_key": "x"}, "api_key"),
    ],
)
def test_wrong_requests_name_the_field(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(CallerFault) as caught:
        rerank.RERANK_REQUEST("body", {**BODY, **changes})
    assert (caught.value.status, caught.value.param) == (400, param)


def test_sizes() -> None:
    assert rerank.documents_of(BODY) == ["a", "b", "c"]
    assert rerank.rerank_input_tokens({"query": "qq", "documents": ["é", "abc"]}) == 2 + 10 + 3 + 10
    long = {"query": "q", "documents": ["x" * 2_001] + ["y"] * 99}
    assert (rerank.searches_of({"query": "q", "documents": ["y"] * 100}, {}), rerank.searches_of(long, {})) == (1, 2)
    assert rerank.most_searches(long) == 2
    assert rerank.most_searches({"query": "q", "documents": ["x" * 50_000]}) == 1
    assert rerank.most_searches({"query": "q", "documents": ["x" * 50_001]}) == 2
    # Servers read other members of a document, too.
    beside = {"query": "q", "documents": [{"text": "x", "title": "x" * 50_000}]}
    assert rerank.most_searches(beside) == 2
    assert rerank.rerank_input_tokens(beside) > 50_000


@pytest.mark.parametrize(("told", "searches"), [(2, 2), (1.5, 2), (3, 1), (0, 1), (-1, 1), ("2", 1), (True, 1)])
def test_searches_are_as_told_within_what_can_be(told: Any, searches: int) -> None:
    body = {"query": "q", "documents": ["x" * 600] * 100}
    assert rerank.most_searches(body) == 2
    assert rerank.searches_of(body, {"meta": {"billed_units": {"search_units": told}}}) == searches


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        ({"usage": {"total_tokens": 9}}, 9),
        ({"usage": {"prompt_tokens": 8, "total_tokens": 9}}, 8),
        ({"meta": {"billed_units": {"input_tokens": 7}}}, 7),
        ({"meta": {"tokens": {"input_tokens": 6}, "billed_units": {"search_units": 1}}}, 6),
        ({"usage": {"total_tokens": "9"}}, None),
        ({}, None),
    ],
)
def test_tokens_wherever_they_stand(answer: dict[str, Any], tokens: int | None) -> None:
    found = rerank.rerank_usage(answer)
    assert (found and found["prompt_tokens"]) == tokens


@pytest.mark.parametrize(
    "results",
    [
        None, {}, [None], [{"index": 0}], [{"index": 3, "relevance_score": 1}], [{"index": -1, "relevance_score": 1}],
        [{"index": True, "relevance_score": 1}], [{"index": 0, "relevance_score": "1"}],
        [{"index": 0, "relevance_score": 1}, {"index": 0, "relevance_score": 1}],
    ],
)  # fmt: skip
def test_what_is_no_ranking_of_these_documents(results: Any) -> None:
    assert not rerank.ranked({"results": results}, 3)


def test_documents_are_shown_as_asked_for() -> None:
    answer = {
        "id": "x",
        "results": [{"index": 2, "relevance_score": 1}, {"index": 0, "relevance_score": 0, "document": "a"}],
    }

    def shown(**asked: Any) -> list[Any]:
        return [one.get("document") for one in rerank.shown_ranking(answer, {**BODY, **asked})["results"]]

    assert shown(return_documents=True) == [{"text": "c"}, {"text": "a"}]
    assert shown(return_documents=False) == [None, None]
    assert shown() == [None, {"text": "a"}]
    assert shown(top_n=1) == [None]
