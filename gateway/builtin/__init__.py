"""The chain steps that come with the gateway, each an ordinary plugin that imports nothing but `gateway.api`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.builtin import auth, model_allow_list, quota, rate_limit, routing, usage_log

BUILTIN: Mapping[str, object] = MappingProxyType(
    {
        "auth": auth,
        "model_allow_list": model_allow_list,
        "rate_limit": rate_limit,
        "quota": quota,
        "routing": routing,
        "usage_log": usage_log,
    }
)
"""Plugin name -> module."""
