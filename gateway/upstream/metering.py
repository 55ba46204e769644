"""How much of a stream is paid for: asked for more in time, and ended in good order when there is no more.

The hold of a stream covers so many output tokens (`Call.covered`). Tokens are counted by what was relayed: one per
chunk, as providers send them, and by the text. Counted at two bytes a token, or as its script is expected to make, half
a step before the cover is used up, the chain is asked for more (`extend_call`) while the stream goes on. Counted at
three bytes a token, or by its script, when it is used up, the upstream is paused until the answer is known; and when
that is no, the stream ends.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from gateway.call import Call
from gateway.provider import written_output
from gateway.upstream.stream_pump import StreamPump

_UNTOLD = 48
"""Tokens by which a count by script may grow at once: three quarters of the bytes that it leaves for later."""


class StreamMeter:
    """Watches one stream; implements `gateway.upstream.stream_pump.Meter`. extend: asks for more, with the tokens that
    would be billed now. spawn: runs that in a task of the process."""

    __slots__ = (
        "_ask_at",
        "_asking",
        "_call",
        "_extend",
        "_final",
        "_log",
        "_pump",
        "_refused",
        "_spawn",
        "from_bytes",
        "from_chunks",
    )

    def __init__(
        self,
        call: Call,
        pump: StreamPump,
        extend: Callable[[Call, int], Awaitable[bool]],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
        log: logging.Logger,
    ) -> None:
        self._call = call
        self._pump = pump
        self._extend = extend
        self._spawn = spawn
        self._log = log
        self._asking = False
        # The last answer was no; and what is covered was used up by then.
        self._refused = self._final = False
        self._ask_at = (call.covered or 0) // 2
        # No byte is more than a token.
        self.from_chunks = self.from_bytes = self._ask_at

    def look(self) -> None:
        """Something was relayed."""
        covered = self._call.progress.covered
        if covered is None:
            self._pump.meter = None
            self._pump.hold_back(False)
            return
        tally = self._pump.tally
        self.from_bytes = 0
        if tally.complete:  # only its usage is still to come
            self._pump.hold_back(False)
            return
        told, size = self._told(), tally.text_bytes
        used_up = max(told, size // 3) >= covered
        if not self._asking:
            if used_up and self._final:
                self._pump.stop()
                return
            counted = max(told, size // 2)
            if used_up or (not self._refused and counted >= self._ask_at):
                self._asking = True
                self._spawn(self._ask(covered, used_up), f"extend {self._call.id}")
            elif counted < self._ask_at:
                # No byte is more than a token, so until then nothing needs to be counted, but for those at the end that
                # `WrittenTokens` takes for a quarter of one until there are enough to tell.
                self.from_chunks = self._ask_at
                self.from_bytes = size + self._ask_at - counted - _UNTOLD
        self._pump.hold_back(used_up)

    def _told(self) -> int:
        """Tokens by all that tells them but the size of the text."""
        tally = self._pump.tally
        reported = tally.usage.get("completion_tokens") if tally.usage is not None else None
        by_script = int(getattr(tally, "text_tokens", 0))
        return max(tally.chunks, by_script, reported if isinstance(reported, int) else 0)

    async def _ask(self, covered: int, used_up: bool) -> None:
        """used_up: this is the last time, unless there is more."""
        tally = self._pump.tally
        granted = False
        try:
            granted = await self._extend(self._call, written_output(tally))
        except Exception:  # whatever a plugin or its database says: what nobody pays for is not delivered
            self._log.exception("a stream could not be extended", extra={"request_id": self._call.id})
        self._asking = False
        now = self._call.covered
        gained = 0 if now is None else now - covered
        if granted and (now is None or gained > 0):
            self._refused = self._final = False
            self._ask_at = 0 if now is None else now - gained // 2
        else:
            self._refused = True
            self._final = used_up
        if not self._pump.ended:
            self.look()
