"""What a plugin implements to change the text of answers; see the hook `filter_answer`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class TextFilter(Protocol):
    """Sees one text of one answer (of one choice; its thoughts are another) piece by piece, and gives what is shown."""

    def feed(self, text: str) -> str:
        """Take the next piece; return what may be shown now. What is held back comes with a later piece."""

    def finish(self) -> str:
        """The text is over; return what was still held back."""


MakeFilter = Callable[[], TextFilter]
"""Makes a fresh filter for one text."""
