"""The programs of the documentation's pages, run as they are printed: with another address and key, and nothing else.
They are answered by the embedded model, so they need neither network nor a provider's key."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .test_documents import run_python

pytestmark = pytest.mark.sdk
ROOT = Path(__file__).resolve().parents[2]
KEY, ADDRESS = "YOUR_KEY", "http://127.0.0.1:8080"

# Page -> what the output of each of its programs has, in the order of the examples.
PAGES: dict[str, list[str]] = {
    "index": ["Hello!"],
    "chat-completions": ["sky blue", "What is in this image?"],
    "responses": ["moon", "sky blue", "What is my name?"],
    "streaming": ["haiku", "haiku", "haiku"],
    "function-calling": ["21", "21 degrees"],
    "models": ["openai/gpt-4.1-mini"],
    "errors": ["Hello!"],
    "authentication": ["models", "balance"],
    "images": ["house.png is made", "winter.png is made"],
    "audio": ["morning.wav is made", "2.0 seconds", "flagged: "],
    "batches": ["Why is the sky blue?"],
}
CURL_SAYS = {
    "function-calling": ["get_weather", "get_weather"],
    "authentication": ["openai/gpt-4.1-mini", "balance"],
    "images": ["b64_json", "b64_json"],
    "audio": ["200 audio/wav", "2.0 seconds", '"flagged":false'],
}
"""Where a command does only the first of what the programs beside it do."""

REFERENCE = {
    "python": ["Once upon a time", "Hello!", "Hello!"],
    "bash": ["text_completion", "relevance_score", "customer-17"],
}
"""docs/http-api.md: language -> what the output of each of its programs has, but for those of files, which need
some that are there."""


def runnable_of(page: str, language: str) -> list[str]:
    """The blocks of a page that are whole programs in this language, and not steps that need an id of another."""
    text = (ROOT / f"docs/{page}.md").read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    return [block for block in blocks if KEY in block and "FILE_ID" not in block]


def reference(language: str) -> list[Any]:
    """(text, what its output has) of every program of docs/http-api.md that any gateway can run."""
    found = [block for block in runnable_of("http-api", language) if "files" not in block]
    return [pytest.param(*pair, id=str(at)) for at, pair in enumerate(zip(found, REFERENCE[language], strict=True))]


def programs(language: str) -> list[Any]:
    """(page, number, text) of every program in this language."""
    found = []
    for page in PAGES:
        runnable = runnable_of(page, language)
        found += [pytest.param(page, number, block, id=f"{page}-{number}") for number, block in enumerate(runnable)]
    return found


@pytest.fixture(scope="session")
def pages_world(make_world: Callable[..., Any]) -> Any:
    echo = {"provider": "echo", "upstream": "echo", "price": {"input": 1, "output": 2}}
    config = {
        "providers": {"echo": {"plugin": "echo"}},
        "files": {"providers": ["echo"]},
        "batches": {"providers": ["echo"]},
        "models": {
            "openai/gpt-4.1-mini": {**echo, "context": 128_000, "input_modalities": ["text", "image"]},
            "openai/gpt-image-1-mini": {**echo, "operations": ["images", "image_edits"]},
            "openai/gpt-4o-mini-tts": {**echo, "operations": ["speech"]},
            "openai/gpt-4o-transcribe": {**echo, "operations": ["transcriptions"]},
            "openai/omni-moderation-latest": {**echo, "operations": ["moderations"]},
            "local/rerank": {**echo, "operations": ["rerank"]},
        },
        "aliases": {"muh-chat": "openai/gpt-4.1-mini"},
        "default_model": "muh-chat",
        "rate_limit": {"requests_per_minute": 10_000},
    }
    return make_world(lambda _: config)


def adapted(text: str, world: Any) -> str:
    assert ADDRESS in text
    return text.replace(ADDRESS, world.gateway.url).replace(KEY, world.gateway.key)


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, timeout=60, cwd=cwd)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_every_page_has_programs_in_three_languages() -> None:
    for language in ("python", "javascript", "bash"):
        named = {param.values[0] for param in programs(language)}
        assert named | ({"errors", "batches"} if language == "bash" else set()) == set(PAGES), language


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a program finds the files that it reads, and writes its own."""
    (tmp_path / "house.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with wave.open(str(tmp_path / "morning.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(32_000))
    return tmp_path


@pytest.mark.parametrize(("page", "number", "text"), programs("python"))
def test_python(
    pages_world: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, page: str, number: int, text: str
) -> None:
    monkeypatch.chdir(folder)
    said = run_python(adapted(text, pages_world))
    assert PAGES[page][number] in said
    check_made(said, folder)


def check_made(said: str, folder: Path) -> None:
    """Programs that say that they made a file did."""
    for name in re.findall(r"^(\S+) is made$", said, re.M):
        assert (folder / name).read_bytes()[:4] == (b"RIFF" if name.endswith(".wav") else b"\x89PNG")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(("page", "number", "text"), programs("bash"))
def test_curl(pages_world: Any, folder: Path, page: str, number: int, text: str) -> None:
    said = run("bash", "-c", adapted(text, pages_world).replace("curl ", "curl -sS --fail-with-body ", 1), cwd=folder)
    assert CURL_SAYS.get(page, PAGES[page])[number] in said


def test_javascript(pages_world: Any, folder: Path, run_javascript: Callable[..., dict[str, str]]) -> None:
    # Backwards: what a later program reads, an earlier one writes, and each is to find the folder's own.
    known = {param.id: param.values for param in reversed(programs("javascript"))}
    said = run_javascript({name: adapted(text, pages_world) for name, (_, _, text) in known.items()}, folder)
    wrong = [name for name, (page, number, _) in known.items() if PAGES[page][number] not in said[name]]
    assert {name: said[name] for name in wrong} == {}
    for text in said.values():
        check_made(text, folder)


@pytest.mark.parametrize(("text", "told"), reference("python"))
def test_python_of_the_reference(pages_world: Any, text: str, told: str) -> None:
    assert told in run_python(adapted(text, pages_world))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(("text", "told"), reference("bash"))
def test_curl_of_the_reference(pages_world: Any, folder: Path, text: str, told: str) -> None:
    said = run("bash", "-c", adapted(text, pages_world).replace("curl -s ", "curl -sS --fail-with-body "), cwd=folder)
    assert told in said


@pytest.mark.parametrize("page", ["errors", "http-api"])
def test_the_error_shown_is_the_one_that_comes(pages_world: Any, page: str) -> None:
    [shown] = re.findall(r'^\{"error": .*\}$', (ROOT / f"docs/{page}.md").read_text(), re.M)
    request = urllib.request.Request(
        f"{pages_world.gateway.url}/v1/chat/completions",
        json.dumps({"messages": [{"role": "user", "content": "Hi"}], "temperature": 3}).encode(),
        {"Authorization": f"Bearer {pages_world.gateway.key}", "Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    with refused.value as answer:
        assert json.load(answer) == json.loads(shown)
