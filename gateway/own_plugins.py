"""The plugins that come with the gateway and are loaded like any other: the chain's steps and the first store."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway import sqlite
from gateway.builtin import BUILTIN

OWN_PLUGINS: Mapping[str, object] = MappingProxyType({**BUILTIN, "sqlite": sqlite})
"""Plugin name -> module."""
