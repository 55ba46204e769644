"""The core does not know its providers: adding one changes no file of gateway/."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

# "OpenAI" spelt so is the name of the dialect we speak. Every other spelling would be a provider.
PROVIDER = re.compile(
    r"anthropic|claude|gemini|google|vertex|mistral|voxtral|moonshot|kimi|groq|deepseek|ollama|vllm|openrouter|cohere"
    r"|bedrock|azure|xai\b|grok|openai",
    re.IGNORECASE,
)

REFUSED_FIELD = "a credential or address that some clients put into bodies; it is refused by this name"
# The whole literal -> why it is no knowledge of a provider.
ALLOWED = {
    "awsbedrockruntimeendpoint": REFUSED_FIELD,
    "azure_ad_token": REFUSED_FIELD,
    "azureadtoken": REFUSED_FIELD,
    "azureendpoint": REFUSED_FIELD,
    "vertex_credentials": REFUSED_FIELD,
    "vertexcredentials": REFUSED_FIELD,
}
# The dialect's name; functions that read and write it; an example of a pattern in the help; a shape of redacted keys.
DIALECT = re.compile(r"OpenAI|openai_(?:error|stream|completion|dialect)|'openai/\*'|\|xai\|")


def docstrings(tree: ast.Module) -> set[int]:
    """ids of the constants that are documentation: a string standing alone as a statement."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def names_in(source) -> Iterator[tuple[int, str]]:
    prose = docstrings(source.tree)
    for node in source.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr


def provider_faults(sources) -> list[str]:
    return [
        f"{source.path}:{line}: {text!r} names a provider; that belongs into its plugin or into YAML"
        for source in sources
        for line, text in names_in(source)
        if PROVIDER.search(DIALECT.sub("", text)) and text not in ALLOWED
    ]


def test_the_core_names_no_provider(gateway_sources):
    # The test kit writes configurations, and a configuration names its providers.
    assert not provider_faults(source for source in gateway_sources if not source.module.startswith("gateway.testing"))


@pytest.mark.parametrize("text", ["x = 'anthropic'", "x = f'{a} Claude'", "def read_gemini(): ...", "x == 'openai'"])
def test_a_provider_is_found(parse_source, text):
    assert len(provider_faults([parse_source("gateway/a.py", text)])) == 1


def test_the_dialect_may_be_named(parse_source):
    assert not provider_faults([parse_source("gateway/a.py", "'''For openai.'''\nx = 'not an OpenAI error'")])
