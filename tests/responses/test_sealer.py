"""Summaries that callers carry: opened for the account they were made for, and nowhere else."""

from __future__ import annotations

import pytest

from gateway.errors import CallerFault
from gateway.responses.sealer import TAG, Sealer

SEALER = Sealer(bytes(32))


def test_a_summary_comes_back() -> None:
    for text in ("What was done.", "", "ä\U0001f600", "\ud800"):
        sealed = SEALER.seal("acc_1", text)
        assert sealed.startswith(TAG)
        assert text[:4] not in sealed or not text
        assert SEALER.unseal("acc_1", sealed, "x") == text.replace("\ud800", "?")
    assert SEALER.seal("acc_1", "x") != SEALER.seal("acc_1", "x")


def test_nobody_else_opens_it() -> None:
    sealed = SEALER.seal("acc_1", "What was done.")
    for account, text, sealer in (
        ("acc_2", sealed, SEALER),
        ("acc_1", sealed, Sealer(bytes([1]) * 32)),
        ("acc_1", sealed[:-4] + "AAAA", SEALER),
        ("acc_1", TAG, SEALER),
        ("acc_1", TAG + "äö", SEALER),
        ("acc_1", TAG + "A", SEALER),
    ):
        with pytest.raises(CallerFault) as caught:
            sealer.unseal(account, text, "input[0].encrypted_content")
        assert caught.value.param == "input[0].encrypted_content"


def test_items_of_ours_become_messages_and_others_stay() -> None:
    ours = {"type": "compaction", "id": "cmp_1", "encrypted_content": SEALER.seal("acc_1", "All of it.")}
    theirs = {"type": "compaction", "id": "cmp_2", "encrypted_content": "gAAAA"}
    other = {"type": "message", "role": "user", "content": "x"}
    told, *rest = SEALER.expand("acc_1", [ours, theirs, other, {"type": "compaction", "encrypted_content": 5}])
    assert told["role"] == "user"
    assert told["content"].endswith("All of it.")
    assert rest == [theirs, other, {"type": "compaction", "encrypted_content": 5}]
