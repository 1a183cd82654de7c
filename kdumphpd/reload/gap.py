# SPDX-License-Identifier: GPL-2.0-or-later
"""Measuring how long no image is loaded: crash_loaded, sampled while a loader runs.

The kernel has no counter for it. Reading crash_loaded takes no lock, so sampling disturbs no load.
"""

import contextlib
import threading
import time
from pathlib import Path
from types import TracebackType

from kdumphpd.kernel.loaded import crash_loaded

INTERVAL = 0.001  # seconds


class GapMeter:
    """Context manager; afterwards `seconds` and `unprotected` hold the time it took and that without an image."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="gap", daemon=True)
        self.seconds = 0.0
        self.unprotected = 0.0

    def __enter__(self) -> "GapMeter":
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self.seconds = time.monotonic() - self._began

    def _sample(self) -> None:
        last = time.monotonic()
        while not self._done.wait(INTERVAL):
            now = time.monotonic()
            with contextlib.suppress(OSError):  # no sample is no statement
                if not crash_loaded(self._root):
                    self.unprotected += now - last
            last = now
