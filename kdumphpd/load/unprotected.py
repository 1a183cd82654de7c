# SPDX-License-Identifier: GPL-2.0-or-later
"""Measuring how long no image is loaded: crash_loaded, sampled while a loader runs.

The kernel has no counter for it. Reading crash_loaded takes no lock, so sampling disturbs no load; and a sample
costs next to nothing, or on a machine with one CPU it would lengthen what it measures.
"""

import contextlib
import threading
import time
from pathlib import Path
from types import TracebackType

from kdumphpd.kernel.loaded import kept_open

# A sample is late by that much at most, at either end of tens of milliseconds. Twice as many would lengthen what they
# measure by a tenth, on a machine with one CPU.
INTERVAL = 0.002  # seconds


class Meter:
    """Context manager; afterwards `seconds` and `unprotected` hold the time it took and that without an image."""

    def __init__(self, root: Path, interval: float = INTERVAL) -> None:
        self._root = root
        self._interval = interval
        self._done = False  # a plain flag: waiting for an Event costs as much as all the rest of a sample
        self._thread = threading.Thread(target=self._sample, name="meter", daemon=True)
        self.seconds = 0.0
        self.unprotected = 0.0

    def __enter__(self) -> "Meter":
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done = True
        self._thread.join()
        self.seconds = time.monotonic() - self._began

    def _sample(self) -> None:
        last = time.monotonic()
        with contextlib.suppress(OSError), kept_open(self._root) as armed:  # no sample is no statement
            while not self._done:
                time.sleep(self._interval)
                now = time.monotonic()
                if not armed():
                    self.unprotected += now - last
                last = now
