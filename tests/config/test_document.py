"""Reading: YAML, lines, the environment, secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import config
from gateway.config import tree
from gateway.errors import ConfigFault


def parse(text: str | bytes, env: dict[str, str] | None = None, **more: Any) -> config.Document:
    return config.parse(text if isinstance(text, bytes) else text.encode(), env or {}, **more)


def problems(text: str | bytes, env: dict[str, str] | None = None, **more: Any) -> list[str]:
    """The problems of the text, whether they stop the reading or not."""
    try:
        return parse(text, env, **more).fault().problems
    except ConfigFault as fault:
        return fault.problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("False", False), ("0", 0), ("-17", -17),
        ("1_000_000", 1000000), ("1.5", 1.5), (".5", 0.5), ("2.", 2.0), ("1e3", 1000.0), ("-1.5E-2", -0.015),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("1:30", "1:30"), ("010", "010"), ("0x1F", "0x1F"),
        ("127.0.0.1", "127.0.0.1"), ("1.2.3", "1.2.3"), ("2026-11-01", "2026-11-01"), ("gpt-4.1", "gpt-4.1"),
        ("e5", "e5"), (".", "."), ("-", ["x"]), ("+", "+"), ("1_", "1_"), ("nan", "nan"), (".inf", ".inf"),
        ("'1'", "1"), ('"true"', "true"), ('""', ""), ("[1, a]", [1, "a"]), ("{b: 1}", {"b": 1}),
        ("|\n  1\n", "1\n"), ("= ", "="), ("sqlite:///data/x.db", "sqlite:///data/x.db"),
    ],
)  # fmt: skip
def test_values(text, value):
    if text == "-":
        text = "\n - x"
    assert parse(f"a: {text}").values == {"a": value}
    assert type(parse(f"a: {text}").values["a"]) is type(value)


def test_numbers_keep_their_text():
    document = parse("a: {b: 0.10, c: [1_0.5]}\nd: 3")
    assert document.texts == {("a", "b"): "0.10", ("a", "c", 0): "10.5"}


def test_lines():
    document = parse("a:\n  b: 1\n  c:\n    - x\n    -\n      y: >\n        z\n")
    assert document.line(("a",)) == 1
    assert document.line(("a", "b")) == 2
    assert document.line(("a", "c")) == 3
    assert document.line(("a", "c", 0)) == 4
    assert document.line(("a", "c", 1, "y")) == 6
    assert document.line(("a", "c", 7, "q")) == 3
    assert document.line(("nowhere",)) == 1


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null", "\ufeff"])
def test_an_empty_file_is_an_empty_mapping(text):
    assert parse(text).values == {}


def test_byte_order_mark_and_line_ends():
    assert parse("\ufeffa: 1\r\nb: 2\r\n").values == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a", "config.yaml:1: the file must consist of `section:` lines, as in `server:`"),
        ("\n\nword", "config.yaml:3: the file must consist of `section:` lines, as in `server:`"),
        ("a: 1\nb: 2\na: 3", "config.yaml:3: a: the key is given twice, first on line 1"),
        ("a: {b: 1,\n b: 2}", "config.yaml:2: a.b: the key is given twice, first on line 1"),
        ("a: 1\n---\nb: 1", "config.yaml:2: a second YAML document begins here: keep everything in one"),
        ("a:\n  b: !!python/object:os.system x",
         "config.yaml:2: YAML tags (!...) are not accepted: write the plain value"),
        ("a: !!str 1", "config.yaml:1: YAML tags (!...) are not accepted: write the plain value"),
        ("a: !x {b: 1}", "config.yaml:1: YAML tags (!...) are not accepted: write the plain value"),
        ("!x a: 1", "config.yaml:1: YAML tags (!...) are not accepted: write the plain value"),
        ("a: *b", "config.yaml:1: there is no anchor &b above this alias"),
        ("a: &b [*b]", "config.yaml:1: the alias *b stands inside its own anchor"),
        ("a:\n  ? [1]\n  : 2", "config.yaml:2: a: a key must be a single word"),
        ("a: 1\nb: \0", "config.yaml:2: the character U+0000 is not allowed in YAML"),
        ("a: 1\nb: \x1b[0m", "config.yaml:2: the character U+001B is not allowed in YAML"),
        (b"a: 1\nb: \xff", "config.yaml:2: the file is not UTF-8 text"),
        ("a: " + "9" * 101, "config.yaml:1: a: the number has more than 100 characters"),
        ("a: 1e999", "config.yaml:1: a: the number is out of range"),
        ("a: " + "[" * 64, "config.yaml:1: nested more than 64 levels deep"),
        ("\n" + "- " * 100_000, "config.yaml:2: nested more than 64 levels deep"),
        ("a: " + "{a: " * 100_000, "config.yaml:1: nested more than 64 levels deep"),
        (b"#" * (1 << 20) + b"\n", "config.yaml:1: the file is larger than 1048576 bytes"),
        ("a:\n  <<: 1", "config.yaml:2: a.<<: only a section, or a list of sections, can be merged"),
        ("a: &a {<<: {b: 1}}\nc: {<<: *a}",
         "config.yaml:2: c.<<: a section that merges another cannot be merged itself"),
    ],
)  # fmt: skip
def test_what_is_refused(text, expected):
    assert problems(text) == [expected]


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("a: 1\nb:\n\tc: 1", 3, " (YAML does not take tabs as indentation: use spaces)"),
        ("a: {b: ${C}}", 1, ' (inside { } and [ ] a value with ${...} must stand in quotes: "${NAME}")'),
        ("a: 'open", 1, ""),
        ("a: b: c", 1, ""),
        ("%YAML 9.9\n---\na: 1", 1, ""),
    ],
)
@pytest.mark.parametrize("loader", [getattr(yaml, "CLoader", yaml.Loader), yaml.Loader])
def test_syntax_errors_have_a_line_with_both_parsers(monkeypatch, loader, text, line, hint):
    monkeypatch.setattr(tree, "_LOADER", loader)
    [problem] = problems(text)
    assert problem.startswith(f"config.yaml:{line}: not valid YAML: ")
    assert problem.endswith(hint)
    assert len(problem) > len(f"config.yaml:{line}: not valid YAML: {hint}")


def test_both_parsers_give_the_same(monkeypatch):
    text = (
        "a: &x [1, 'b', {c: ${D:-e}}]\n".replace("${D:-e}", '"${D:-e}"') + "f: *x\ng: |\n  h\ni: {<<: {j: 1}, k: ~}\n"
    )
    first = parse(text)
    monkeypatch.setattr(tree, "_LOADER", yaml.Loader)
    second = parse(text)
    assert (first.values, first.lines, first.key_lines) == (second.values, second.lines, second.key_lines)


def test_aliases_and_merging():
    document = parse("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{x: 8}, *a]}\nd: *a")
    assert document.values["b"] == {"y": 3, "x": 1}
    assert document.values["c"] == {"x": 8, "y": 2}
    assert document.values["d"] == {"x": 1, "y": 2}
    assert document.line(("d", "x")) == 1


def test_alias_bombs_are_bounded():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    [problem] = problems("\n".join(lines))
    assert problem.endswith("more than 100000 values, those behind aliases counted each time")
    merges = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(1000)) + "}\n"
    [problem] = problems(merges + "b: {<<: [" + ", ".join(["*a"] * 200) + "]}")
    assert "more than 100000 values" in problem
    deep = "a0: &a0 " + "[" * 40 + "]" * 40 + "\na1: " + "[" * 40 + "*a0" + "]" * 40
    assert problems(deep) == ["config.yaml:1: nested more than 64 levels deep"]


@pytest.mark.parametrize(
    ("text", "env", "value"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("${A}", {"A": "8080"}, 8080),
        ("${A}", {"A": "true"}, True),
        ("${A}", {"A": "0.5"}, 0.5),
        ("'${A}'", {"A": "8080"}, "8080"),
        ('"${A}"', {"A": "true"}, "true"),
        ("${A:-8080}", {}, 8080),
        ("${A:-8080}", {"A": ""}, 8080),
        ("${A:-8080}", {"A": "1"}, 1),
        ("${A}", {"A": ""}, ""),
        ("${A:-}", {}, ""),
        ("${A:-~}", {}, None),
        ("${A:-b:-c d}", {}, "b:-c d"),
        ("http://${H:-localhost}:${P:-1}/", {"P": "2"}, "http://localhost:2/"),
        ("$${A}", {}, "${A}"),
        ("$${A} ${B}", {"B": "${A}"}, "${A} ${A}"),
        ("$A $ {A} $5", {}, "$A $ {A} $5"),
        ("['${A}', x]", {"A": "1"}, ["1", "x"]),
        ("${A}", {"A": "[1, 2]"}, "[1, 2]"),
        ("${A}", {"A": "x\ny: 1"}, "x\ny: 1"),
    ],
)
def test_the_environment(text, env, value):
    document = parse(f"a: {text}", env)
    assert document.problems == []
    assert document.values == {"a": value}
    assert type(document.values["a"]) is type(value)


def test_the_environment_is_not_read_in_keys():
    assert parse("${A}: 1", {"A": "b"}).values == {"${A}": 1}


UNDERSTOOD = "only ${NAME}, ${NAME:-default} and ${file:PATH} are understood, with letters, digits and _ in NAME"
NOT_SET = "is not set; set it, or write ${%s:-} if it may be missing"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", ["the environment variable A " + NOT_SET % "A"]),
        ("${A}${B}", [f"the environment variable {name} {NOT_SET % name}" for name in "AB"]),
        ("${A-b}", [UNDERSTOOD]),
        ("${}", [UNDERSTOOD]),
        ("${file:}", [UNDERSTOOD]),
        ("${A:-${B}}", [UNDERSTOOD]),
        ("x${A", ["${ is not closed with }; write $${ for the characters ${ themselves"]),
        ("${BYTES}", ["the environment variable BYTES is not UTF-8 text"]),
    ],
)
def test_variables_that_cannot_be_filled_in(text, expected):
    assert problems(f"x: 1\na: {text}", {"BYTES": "\udcff"}) == [f"config.yaml:2: a: {problem}" for problem in expected]


def test_files(tmp_path):
    (tmp_path / "secret").write_bytes(b"from a file\r\n\n")
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    text = f"""\
a: "${{file:{tmp_path}/secret}}"
b: Bearer ${{file:secret}}
c: "${{file:missing:-}}"
d: "${{file:missing:-instead}}"
"""
    document = parse(text, folder=tmp_path)
    assert document.problems == []
    assert document.values == {"a": "from a file", "b": "Bearer from a file", "c": "", "d": "instead"}
    assert "from a file" in document.secrets, "whatever the key is called"
    found = problems("a: ${file:missing}\nb: ${file:binary}\nc: ${file:large}\nd: ${file:.}", folder=tmp_path)
    assert [line.replace(str(tmp_path), "") for line in found] == [
        "config.yaml:1: a: the file /missing cannot be read: No such file or directory",
        "config.yaml:2: b: the file /binary cannot be read: it is not UTF-8 text",
        "config.yaml:3: c: the file /large is larger than 65536 bytes",
        "config.yaml:4: d: the file  cannot be read: Is a directory",
    ]


def test_what_is_secret():
    document = parse(
        "\n".join(
            [
                "p: {api_key: '${ONE}', url: 'postgresql://u:${PG_PASSWORD}@h/d', port: ${PORT}, max_tokens: ${MANY}}",
                "q: {api_key: Bearer ${TWO}, token: literal-secret, secret: ${UNSET:-fallback}, password: ${SHORT}}",
                "r: {Authorization: [a, '${THREE}'], number_key: 123456, empty_key: ''}",
            ]
        ).replace("${PORT}", '"${PORT}"').replace("${MANY}", '"${MANY}"').replace("Bearer ${TWO}", '"Bearer ${TWO}"')
        .replace("${UNSET:-fallback}", '"${UNSET:-fallback}"').replace("${SHORT}", '"${SHORT}"'),
        {"ONE": "secret-1", "TWO": "secret-2", "THREE": "secret-3", "PG_PASSWORD": "secret-4", "PORT": "8080",
         "MANY": "1000", "SHORT": "abc"},
    )  # fmt: skip
    assert document.problems == []
    assert document.secrets == {
        "secret-1", "secret-2", "Bearer secret-2", "secret-3", "secret-4", "literal-secret", "fallback",
    }  # fmt: skip
    assert "secret" not in repr(document)


def test_reading_a_file(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("a: 1\n")
    os.utime(path, (1, 1_700_000_000))
    document = config.read(path, {"GATEWAY_DATA": str(tmp_path / "elsewhere")})
    assert (document.name, document.folder, document.modified) == (str(path), tmp_path.resolve(), 1_700_000_000)
    assert document.data == tmp_path / "elsewhere"
    assert document.values == {"a": 1}


def test_the_data_folder_is_data_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse("").data == tmp_path / "data"
    assert parse("", {"GATEWAY_DATA": ""}).data == tmp_path / "data"
    assert parse("", {"GATEWAY_DATA": "x"}).data == tmp_path / "x"


def test_files_that_cannot_be_read(tmp_path):
    for path, reason in [
        (tmp_path / "none.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (Path("a\0b"), "embedded null byte"),
    ]:
        with pytest.raises(ConfigFault) as caught:
            config.read(path, {})
        assert caught.value.problems == [f"{path}: cannot be read: {reason}"]


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        (("a", "b"), "a.b"),
        (("models", "openai/gpt-4.1", "price"), 'models."openai/gpt-4.1".price'),
        (("models", "openai/o3"), "models.openai/o3"),
        (("a", 3, "b"), "a[3].b"),
        (("", "a b"), '""."a b"'),
        (("a\nb\x1b",), '"a\\nb\\u001b"'),
        (("x" * 200,), '"' + "x" * 77 + '..."'),
    ],
)
def test_how_keys_are_shown(where, shown):
    document = config.parse(b"", {})
    document.report(where, "wrong")
    assert document.fault().problems == [f"config.yaml:1: {shown}: wrong"]
