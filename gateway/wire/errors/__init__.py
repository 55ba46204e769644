"""Errors: how a fault is written for callers, and how a provider's error answer is read."""
