"""The section `otel` of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class Settings(BaseModel):
    """endpoint: where a collector takes OTLP over HTTP, without `/v1/traces`; "" for nothing at all. headers: go with
    every export, such as credentials. service_name: how this gateway is called there. traces, metrics: what is sent.
    sample: the share of traces that is kept, of those that no caller has decided about. interval: seconds between two
    exports of metrics. propagate: names of providers that are told the trace (`traceparent`), "*" for all."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    endpoint: str = ""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    service_name: str = "tollgate"
    traces: bool = True
    metrics: bool = True
    sample: float = Field(1.0, ge=0.0, le=1.0)
    interval: float = Field(60.0, ge=1.0, le=3600.0)
    propagate: tuple[str, ...] = ()

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must be an http or https URL, such as http://localhost:4318")
        return value.rstrip("/")
