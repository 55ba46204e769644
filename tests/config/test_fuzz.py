"""Whatever the file holds: a configuration or a ConfigFault, nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway import config
from gateway.config import sections
from gateway.errors import ConfigFault
from gateway.provider import ProviderKind

ENV = {"A": "x", "B": "", "C": "8080", "D": "\udcff", "E": "a\nb: c", "SECRET_KEY": "hush-1234"}


Use = Callable[[bytes], config.Config | None]


@pytest.fixture(scope="session")
def use(kinds, plugin_sections) -> Use:
    """Both steps, as at start-up."""
    return lambda raw: run(raw, kinds, plugin_sections)


def run(
    raw: bytes, kinds: dict[str, ProviderKind], plugin_sections: dict[str, type[BaseModel]]
) -> config.Config | None:
    try:
        document = config.parse(raw, ENV)
    except ConfigFault as fault:
        check(fault)
        return None
    try:
        config.plugin_settings(document)
        return config.build(document, plugin_sections, kinds, plugins=["auth"])
    except ConfigFault as fault:
        check(fault)
        return None


def check(fault: ConfigFault) -> None:
    assert fault.problems
    for problem in fault.problems:
        head, line, rest = problem.split(":", 2)
        assert head == "config.yaml"
        assert int(line) >= 1
        assert rest.startswith(" ")
        assert problem.isprintable()
        assert "hush-1234" not in problem
        assert len(problem) < 2000


@given(st.binary(max_size=200))
@example(b"\xff\xfe\x00")
@example(b"\x00")
@example(b"a: \xc2\x85b")
def test_bytes(use, raw):
    use(raw)


YAML_ALPHABET = "abz:-[]{}&*!|>'\"%@`#,?~<=.$ \t\n\\0159_/é\u2028\x85\ufeff"


@given(st.text(alphabet=YAML_ALPHABET, max_size=80))
@example("a: !!python/object/apply:os.system [x]")
@example("a: &a\n  - *a")
@example("<<: *a")
@example("? {a: b}\n: c")
@example("? !!x &y a\n: *y")
@example("? &a [x]\n: *a")
@example("<<: &a {b: 1}\n*a : 1")
@example("a: ${A:-${B}}")
@example("%TAG ! x\n---\n!a b")
def test_text_of_yaml_characters(use, text):
    use(text.encode("utf-8", "surrogatepass"))


KEYS = st.sampled_from(
    [
        *sections.Core.model_fields, *sections.Server.model_fields, *sections.ModelSettings.model_fields,
        *sections.PriceSettings.model_fields, *sections.AliasEntry.model_fields, "rate_limit", "careless",
        "echo", "server", "providers", "models", "aliases", "echo/a", "x", "", "<<", "api_key", "url", "a.b", "\n",
        "e" * 300,
    ]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(min_value=10**300, max_value=10**310), st.floats(),
    st.text(max_size=10),
    st.sampled_from(
        ["60s", "20MiB", "${A}", "${B}", "${C}", "${D}", "${E}", "${SECRET_KEY}", "x${NOT_SET}", "${C:-1}", "$${",
         "echo", "echo/a", "raise", "bad${SECRET_KEY}", "unavailable", "sqlite:///x", "http://[", "text"]
    ),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
@example({"models": {"echo/a": {"price": {"input": float("nan"), "output": float("inf")}}}})
@example({"aliases": {"a": {"model": ["a"]}}, "default_model": ["x"]})
@example({"pipeline": [["auth"], None, {}]})
@example({"careless": {"either": {"${SECRET_KEY}": "${SECRET_KEY}"}}})
def test_wrong_values(use, value):
    use(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))


TOP = st.fixed_dictionaries(
    {},
    optional={
        "server": st.fixed_dictionaries({}, optional={"port": st.integers(0, 65535), "drain": st.just("5s")}),
        "providers": st.just({"echo": None, "server": {"api_key": "${SECRET_KEY}"}}),
        "models": st.dictionaries(
            st.sampled_from(["echo/a", "echo/b", "server/c"]),
            st.sampled_from([{"free": True}, {"price": {"input": 1, "output": 0.5}}, {}]),
        ),
        "aliases": st.dictionaries(
            st.sampled_from("wxyz"),
            st.sampled_from(["echo/a", "w", "x"]) | st.lists(st.sampled_from(["echo/a", "echo/b", "w", "x", "y"])),
        ),
        "default_model": st.sampled_from(["echo/a", "w", "z"]),
    },
)


@settings(max_examples=200)
@given(TOP)
def test_nearly_right_values(use, value: dict[str, Any]):
    made = use(yaml.safe_dump(value).encode())
    if made is not None:
        assert set(made.models) == set(value.get("models", {}))
        assert set(made.aliases) == set(value.get("aliases", {}))


def test_a_file_full_of_rubbish_is_refused_quickly(use):
    started = time.perf_counter()
    use("\n".join(f"serve{n}: 1" for n in range(40_000)).encode())
    use(("aliases:\n" + "\n".join(f"  a{n}: b{n}" for n in range(3_000))).encode())
    use(b"server: [" + b"[[" * 30 + b"]]" * 30 + b"]")
    assert time.perf_counter() - started < 10
