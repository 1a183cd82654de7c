# SPDX-License-Identifier: GPL-2.0-or-later
"""Growing pauses between attempts."""

FIRST = 1.0  # seconds
LONGEST = 300.0
FACTOR = 2.0


class Backoff:
    """1 s, 2 s, 4 s … 5 min; from the start again after a success."""

    def __init__(self) -> None:
        self._next = FIRST

    def failed(self) -> float:
        """The pause before the next attempt, in seconds."""
        pause, self._next = self._next, min(self._next * FACTOR, LONGEST)
        return pause

    def succeeded(self) -> None:
        self._next = FIRST
