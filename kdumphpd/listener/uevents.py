# SPDX-License-Identifier: GPL-2.0-or-later
"""The listener's uevent socket, which is opened again where it has failed."""

import selectors
import time
from collections.abc import Callable

from kdumphpd import journal
from kdumphpd.listener.coalesce import Uevent
from kdumphpd.listener.receive import Lost, Monitor
from kdumphpd.messages import MessageId

log = journal.logger()

REOPEN_PAUSE = 1.0  # seconds before the socket is opened again after it failed


class Uevents:
    """`heard` is called with whatever arrives. `passed`: see Monitor; `keep`: see Daemon."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        heard: Callable[[Uevent | Lost], None],
        passed: int | None,
        keep: Callable[[int], None],
    ) -> None:
        self._selector = selector
        self._heard = heard
        self._passed = passed
        self._keep = keep
        self._monitor: Monitor | None = None
        self._failure = ""  # why it can't be opened again
        self.reopen_at: float | None = None  # seconds of the monotonic clock

    @property
    def receiving(self) -> bool:
        return self._monitor is not None

    @property
    def receive_buffer(self) -> int:
        """Bytes; 0 where nothing is received."""
        return self._monitor.receive_buffer if self._monitor else 0

    def open(self) -> None:
        """Receive from now on. Raises OSError where uevents can't be had."""
        self._monitor = Monitor(passed=self._passed)
        self._passed = None  # it is good for once: one that has failed is of no more use
        self._selector.register(self._monitor, selectors.EVENT_READ, self._receive)
        self._keep(self._monitor.fileno())

    def retry(self, now: float) -> None:
        """Open it again where that is due."""
        if self.reopen_at is None or now < self.reopen_at:
            return
        try:
            self.open()
        except OSError as error:
            if self._failure != str(error):
                log.error(f"cannot receive uevents: {error}; trying again", id=MessageId.EVENTS_LOST)
            self.reopen_at, self._failure = now + REOPEN_PAUSE, str(error)
            return
        self.reopen_at, self._failure = None, ""
        self._heard(Lost("the uevent socket had to be opened again"))

    def close(self) -> None:
        if self._monitor is not None:
            self._selector.unregister(self._monitor)
            self._monitor.close()
            self._monitor = None

    def _receive(self) -> None:
        if self._monitor is None:
            return
        try:
            batch = self._monitor.read()
        except OSError as error:
            log.error(f"the uevent socket failed: {error}; opening another one", id=MessageId.EVENTS_LOST)
            self.close()
            self.reopen_at = time.monotonic()
            return
        for item in batch:
            self._heard(item)
