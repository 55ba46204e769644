"""The provider contract, for OpenAI itself and for a compatible server."""

from __future__ import annotations

from pathlib import Path

from tollgate_openai import OpenAIProvider, OpenAISettings

from gateway.api import Provider
from gateway.testing import ProviderContract

TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"


class TestOpenAI(ProviderContract):
    transcripts = TRANSCRIPTS
    secrets = ("test-key-0123456789", "org-operator-42", "project-operator-42", "proxy-secret-1")
    upstream = "gpt-4.1-mini"

    def make_provider(self) -> Provider:
        return OpenAIProvider(
            "openai",
            OpenAISettings.model_validate(
                {
                    "api_key": self.secrets[0],
                    "organization": self.secrets[1],
                    "project": self.secrets[2],
                    "headers": {"x-proxy-key": self.secrets[3]},
                }
            ),
        )


class TestReasoningModel(TestOpenAI):
    upstream = "gpt-5-mini"


class TestCompatibleServer(ProviderContract):
    transcripts = TRANSCRIPTS
    upstream = "qwen3:8b"

    def make_provider(self) -> Provider:
        return OpenAIProvider("local", OpenAISettings(base_url="http://127.0.0.1:11434/v1/"))
