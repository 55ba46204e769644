"""Cells that are known to fail, and why."""

from __future__ import annotations

from collections.abc import Mapping

GAPS: Mapping[str, str] = {}
