"""`.env` beside the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import read
from gateway.config.dotenv import dotenv_line, parse_dotenv, with_dotenv
from gateway.errors import ConfigFault


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        ("A = b ", "b"),
        ("A=", ""),
        ("A=b # a comment", "b"),
        ("A=b#c", None),
        ("A='b # \"c'", 'b # "c'),
        ('A="b\\n\\"c\\\\" # d', 'b\n"c\\'),
        ("A=x y", "x y"),
        ("A='b", None),
        ("=b", None),
        ("A b", None),
        ("1A=b", None),
    ],
)
def test_lines(line: str, value: str | None) -> None:
    if value is None:
        with pytest.raises(ConfigFault, match=r"\.env:2: expected NAME=VALUE"):
            parse_dotenv(f"# first\n{line}\n".encode(), ".env")
    else:
        assert parse_dotenv(f"\n{line}\r\n".encode(), ".env") == {"A": value}


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")))
def test_what_is_written_is_read(value: str) -> None:
    assert parse_dotenv(dotenv_line("NAME", value).encode(), ".env") == {"NAME": value}


def test_faults_do_not_repeat_values() -> None:
    with pytest.raises(ConfigFault) as caught:
        parse_dotenv(b"KEY='sk-secret", ".env")
    assert "sk-secret" not in str(caught.value.problems)
    with pytest.raises(ConfigFault, match="UTF-8"):
        parse_dotenv(b"\xff", ".env")


def test_it_fills_the_configuration_and_the_environment_counts_more(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=from-file\nGATEWAY_DATA=elsewhere\n")
    file = tmp_path / "config.yaml"
    file.write_text("log: {level: '${A}'}\n")
    assert read(file, {}).origins[("log", "level")] == {"A": "from-file"}
    assert read(file, {"A": "given"}).origins[("log", "level")] == {"A": "given"}
    assert read(file, {}).data.name == "elsewhere"
    assert with_dotenv(tmp_path / "nowhere", {"B": "1"}) == {"B": "1"}
