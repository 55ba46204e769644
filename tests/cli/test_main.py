"""The command line as a whole: what is printed where, and how a command ends that cannot go on."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway import cli
from gateway.cli import main
from gateway.cli.common import print_table


@pytest.mark.parametrize(
    "words", [("--config", "x.yaml", "check"), ("keys", "--json", "list"), ("accounts", "--config=x.yaml", "list")]
)
def test_options_before_the_command_are_told_their_place(capsys: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "stands behind the command" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """It ends the process by the signal, as a shell's loop expects."""

    def interrupted(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    sent: list[tuple[int, int]] = []
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(cli, "build_parser", interrupted)
    monkeypatch.setattr("os.kill", lambda *given: sent.append(given))
    monkeypatch.setattr(sys, "argv", ["gateway", "keys", "list"])
    try:
        assert main() == 130
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)
    assert sent == [(os.getpid(), signal.SIGINT)]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("terminal", "printed"), [(False, "Jörg ☃".encode()), (True, "Jörg \\u2603".encode("latin-1"))]
)
def test_a_locale_without_the_letters_of_a_name_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, printed: bytes
) -> None:
    """What goes to a program is UTF-8; on a terminal what it cannot show is escaped."""

    class Stream(io.TextIOWrapper):
        def isatty(self) -> bool:
            return terminal

    def show(*_: Any, **__: Any) -> int:
        print("Jörg ☃")
        return 0

    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Stream(written, encoding="latin-1"))
    monkeypatch.setattr(cli, "_run", show)
    assert main() == 0
    assert written.getvalue().strip() == printed


def test_a_reader_who_left_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when all of it was in the buffer, and the pipe is found broken at the end."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(cli, "_run", lambda *_, **__: print("much", file=stream) or 0)
        assert main() == 1


def test_a_terminal_too_narrow_for_a_table_shows_a_line_for_each_cell(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    rows = [("key_0123456789", "a name", "1,000", ""), ("key_9876543210", "[b]", "5", "x")]
    header = ("ID", "NAME", "CREDITS", "NOTE")
    monkeypatch.setenv("COLUMNS", "60")
    print_table(header, rows)
    assert "key_0123456789   a name     1,000" in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "30")
    print_table(header, rows)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    lines = [line.split() for line in plain.splitlines()]
    assert lines == [
        ["ID", "key_0123456789"], ["NAME", "a", "name"], ["CREDITS", "1,000"], [],
        ["ID", "key_9876543210"], ["NAME", "[b]"], ["CREDITS", "5"], ["NOTE", "x"], [],
    ]  # fmt: skip


def test_where_there_is_no_configuration_it_is_said_how_to_make_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 2
    assert "`gateway init`" in capsys.readouterr().err
    assert main(["check", "--config", "other.yaml"]) == 2
    assert "`gateway init`" not in capsys.readouterr().err
