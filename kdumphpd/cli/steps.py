# SPDX-License-Identifier: GPL-2.0-or-later
"""Following a request of the helper's: its steps as they begin, with the time since it was asked."""

import argparse
import select
import sys
import time
from collections.abc import Callable
from typing import TextIO

from kdumphpd.cli.output import plain, tell
from kdumphpd.client import SEE, Conversation, HelperUnavailable
from kdumphpd.protocol import Result

TICK = 1.0  # seconds between two looks at a step that goes on, on a terminal


class Steps:
    """Says on `stream`, by default the standard error, what is done: a line a step.

    On a terminal the last line says how long its step has taken so far.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done: list[dict[str, object]] = []  # step, and when it began: seconds since the request
        self._stream = stream or sys.stderr
        self._quiet = bool(options.quiet)
        self._live = self._stream.isatty()
        self._clock = clock
        self._start = self._began = clock()
        self._line = ""

    def begin(self, step: str) -> None:
        self.end()
        self._began = self._clock()
        at = self._began - self._start
        self.done.append({"step": step, "at": round(at, 3)})
        self._line = f"[{at:6.1f} s] {plain(step)}"
        self._print(self._line, end="" if self._live else "\n")

    def tick(self) -> None:
        """On a terminal, say how long the step has taken so far."""
        if self._live and self._line:
            self._print(f"\r{self._line} ({self._clock() - self._began:.0f} s)", end="")

    def end(self) -> None:
        """The step is over."""
        if self._live and self._line:
            self._print("")
        self._line = ""

    def _print(self, text: str, end: str = "\n") -> None:
        if not self._quiet:
            tell(text, end, self._stream)


def follow(conversation: Conversation, steps: Steps, patience: float) -> Result:
    """The result of a request. `patience`: seconds. Raises HelperUnavailable."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if not select.select([conversation], [], [], TICK)[0]:
            steps.tick()
            continue
        for message in conversation.receive():
            if isinstance(message, Result):
                steps.end()
                return message
            steps.begin(message.step)
    raise HelperUnavailable(f"the helper gave no result within {patience:g} s; {SEE}")
