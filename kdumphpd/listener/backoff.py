# SPDX-License-Identifier: GPL-2.0-or-later
"""Growing pauses between attempts."""

FIRST = 1.0  # seconds
LONGEST = 300.0
FACTOR = 2.0


class Backoff:
    """1 s, 2 s, 4 s … up to `longest`; from the start again after a success."""

    def __init__(self, longest: float = LONGEST) -> None:
        self._next = FIRST
        self._longest = longest

    def failed(self) -> float:
        """The pause before the next attempt, in seconds."""
        pause, self._next = self._next, min(self._next * FACTOR, self._longest)
        return pause

    def succeeded(self) -> None:
        self._next = FIRST
