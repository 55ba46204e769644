"""Names of what was not carried: once each, few, short, and found in constant time."""

from __future__ import annotations

import random

from gateway.wire.dropped import LONGEST_NAME, LONGEST_TEXT, MOST_NAMES, DroppedParams


class Counted(str):
    """Counts how often it is compared with another name."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)  # type: ignore[no-any-return]

    __hash__ = str.__hash__


def test_names_come_once_each_and_in_order() -> None:
    names = DroppedParams(["b"])
    names.append("a")
    names += ["b", "c", "a"]
    assert names == ["b", "a", "c"]
    assert names.text() == "b, a, c"
    assert "a" in names
    assert "d" not in names
    assert 7 not in names


def test_few_names_equal_a_plain_list() -> None:
    source = random.Random(7)
    for _ in range(300):
        names, plain = DroppedParams(), list[str]()
        for _ in range(source.randint(0, 30)):
            word = source.choice("abcdefghij")
            names.append(word)
            plain += [word] if word not in plain else []
            if source.random() < 0.1:
                place = source.randint(0, 5)
                del names[place:]
                del plain[place:]
        assert names == plain
        assert names.more == 0
        assert [word in names for word in "abcdefghij"] == [word in plain for word in "abcdefghij"]


def test_many_names_are_counted_not_kept() -> None:
    names = DroppedParams()
    for number in range(100):
        names.append(f"n{number}")
        names.append(f"n{number}")
    assert len(names) == MOST_NAMES
    assert names.more == 100 - MOST_NAMES
    assert names.text().endswith(f", ... and {100 - MOST_NAMES} more")
    names += (f"m{number}" for number in range(1_000_000))
    assert len(names) == MOST_NAMES
    assert names.more < 5_000


def test_the_text_has_a_stated_length() -> None:
    names = DroppedParams("x" * 1_000 + str(number) for number in range(3))
    assert names == ["x" * (LONGEST_NAME - 3) + "..."]
    for count in (1, 20, 64, 65, 100_000):
        text = DroppedParams(f"{number:0120}" for number in range(count)).text()
        assert len(text) <= LONGEST_TEXT
        assert ("more" in text) == (count > 8)


def test_what_comes_after_a_mark_can_be_taken_back() -> None:
    names = DroppedParams(["a"])
    mark = len(names)
    names += [f"n{number}" for number in range(200)]
    del names[mark:]
    assert names == ["a"]
    assert names.more == 0
    names.append("n1")
    assert names == ["a", "n1"]


def test_a_name_is_compared_with_few_others_however_many_there_are() -> None:
    names = DroppedParams()
    Counted.compared = 0
    for number in range(4_000):
        name = Counted(f"n{number}")
        if name not in names:
            names.append(name)
    assert Counted.compared < 20 * 4_000
