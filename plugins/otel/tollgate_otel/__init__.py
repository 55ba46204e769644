"""Traces and metrics over OpenTelemetry, with its GenAI conventions (opentelemetry.io/docs/specs/semconv/gen-ai).

A span for each call, below it one for each request to a provider and for each run of a tool; histograms of durations,
first bytes and tokens. What was said, asked or answered is in none of them. The official SDK does the work, and is
imported when `otel.endpoint` is set.
"""

from __future__ import annotations

from tollgate_otel.plugin import Otel

__all__ = ["Otel"]
