"""Recorded exchanges of real providers, that a provider plugin keeps in `transcripts/`; see `gateway.transcripts`."""

from __future__ import annotations

from gateway.transcripts import Transcript, load_transcript, load_transcripts

__all__ = ["Transcript", "load_transcript", "load_transcripts"]
