# SPDX-License-Identifier: GPL-2.0-or-later
"""When the helper is asked, and for what. Pure: no I/O, and the clock is an argument.

The daemon says what happens (a uevent, an answer, an image that somebody replaced) and asks `due` and `deadline`.
"""

from dataclasses import dataclass, replace

from kdumphpd.config import EventsConfig, VerifyConfig
from kdumphpd.listener.backoff import Backoff
from kdumphpd.listener.coalesce import Burst, Coalescer, Uevent
from kdumphpd.protocol import PATIENCE, Outcome, Request, Result, Settings

# A loader that has just written its files may not have ended yet; one that has unloaded may be about to load.
REPLACED_DELAY = 2.0  # seconds
UNLOADED_DELAY = 10.0  # seconds

# Before the helper looks again for an image that an operator has to load: it may be meant to be missing by then.
MISSING_PAUSE = 60.0  # seconds

# What is in order takes a helper seconds, even where it has to ask the loader. For longer the image may be wrong, and
# nobody would know.
OVERDUE = 60.0  # seconds

# Between two requests while no image is loaded and that is our doing.
PENDING_LONGEST = 10.0  # seconds

# The image was as it should be, or there was none to be wrong: nobody had to do anything about it.
RIGHT = frozenset({Outcome.CURRENT, Outcome.UNVERIFIED, Outcome.NOT_LOADED})
FINE = RIGHT | {Outcome.RELOADED}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, and what it is about."""

    request: Request
    why: str = ""  # "kdumphpd started"; empty where the burst says it
    burst: Burst | None = None
    routine: bool = False  # nothing happened: not worth a line where nothing is done
    again: bool = False  # its burst has been answered once


class Schedule:
    """Everything that is open: a burst, a check that is due, a retry, a deferred reload."""

    def __init__(self) -> None:
        self.coalescer = Coalescer(EventsConfig().settle_time, EventsConfig().max_delay)
        self.interval = VerifyConfig().interval  # seconds
        self.asked: Ask | None = None  # the request under way
        self.pending = False  # no image is loaded, and a reload of ours has taken it down
        self.deferred_until: float | None = None
        self.failure = ""  # why the last request was in error; empty where it was not
        self.wrong = ""  # what is known to be wrong with the image
        self._asked_at = 0.0
        self._check: tuple[float, Ask] | None = None  # the next one that is not about a burst
        self._retry: tuple[float, Ask] | None = None
        self._backoff = Backoff()
        self._pending_backoff = Backoff(PENDING_LONGEST)

    # --- what happens --------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        self._check = (now, Ask(Request.CHECK, "kdumphpd started"))

    def uevent(self, event: Uevent, now: float) -> bool:
        """Whether it belongs to a burst."""
        return self.coalescer.feed(event, now)

    def lost(self, why: str, now: float) -> None:
        """Uevents were lost: everything may have changed."""
        self.coalescer.mark_lost(why, now)

    def replaced(self, why: str, now: float, *, routine: bool = False, delay: float = REPLACED_DELAY) -> None:
        """Somebody else may have loaded an image."""
        self._check = (now + delay, Ask(Request.CHECK, why, routine=routine))

    def configured(self, settings: Settings, now: float) -> None:
        self.coalescer.settle_time, self.coalescer.max_delay = settings.settle_time, settings.max_delay
        self.interval = settings.interval
        if self._check and self._check[1].routine and self._check[0] > now + self.interval:
            self._check = None
            self._plan(now)

    def set_pending(self, pending: bool, now: float) -> None:
        """A reload that is pending waits for nothing: neither for a burst to settle, nor for an older backoff."""
        if pending and not self.pending:
            self._pending_backoff.succeeded()
            self._retry = (now, self._retry[1] if self._retry else Ask(Request.CHECK, "a reload is pending"))
        self.pending = pending

    def answered(self, result: Result, now: float) -> None:
        """The request under way has ended with `result`."""
        ask = self._ended()
        if result.settings:
            self.configured(result.settings, now)
        if result.outcome is Outcome.BUSY:
            self._retry = (now + result.wait, ask)
            return
        self._plan(now)
        self._retry = self.deferred_until = None
        self.pending = result.pending
        fine = result.outcome in FINE
        self.failure = "" if fine or result.outcome is Outcome.DEFERRED else result.detail or result.outcome
        self.wrong = "" if fine else result.detail
        if result.outcome is Outcome.DEFERRED:
            self.deferred_until = now + result.wait
            self._retry = (self.deferred_until, Ask(Request.UPDATE, "a reload was deferred", ask.burst, again=True))
        elif result.outcome is Outcome.MISSING:
            self._check = (now + MISSING_PAUSE, Ask(Request.CHECK, "no image was loaded", routine=True))
        elif result.outcome is Outcome.UNSAFE and result.wait:
            self._again(ask, now)
        elif fine or result.outcome in (Outcome.STALE, Outcome.UNSAFE):
            self._backoff.succeeded()
            self._pending_backoff.succeeded()
        elif result.retry:
            self._again(ask, now)

    def unanswered(self, why: str, now: float) -> None:
        """The request under way has ended without a result."""
        ask = self._ended()
        self._plan(now)
        self.failure = why
        self._again(ask, now)

    # --- what is due ---------------------------------------------------------------------------------------------

    def due(self, now: float) -> Ask | None:
        """What to ask at `now`, once; it is under way from then on. None where nothing is due."""
        if self.asked is not None:
            return None
        ask = self._next(now)
        if ask is not None:
            self.asked, self._asked_at = ask, now
        return ask

    def deadline(self) -> float | None:
        """When to come back; while a request is under way, when it has taken too long."""
        if self.asked is not None:
            return self._asked_at + PATIENCE
        return min((at for at in self._moments() if at is not None), default=None)

    def skip(self, now: float) -> None:
        """What is due needs no request: no image is loaded, and that is not our doing."""
        self._ended()
        self._plan(now)
        self._retry = self.deferred_until = None
        self.failure = self.wrong = ""

    @property
    def next_try(self) -> float | None:
        """When what has failed or was deferred is tried again; None where it is not."""
        return self._retry[0] if self._retry else None

    def overdue(self, now: float) -> str:
        """In words, where the request under way has taken too long for anybody to rely on the image."""
        if self.asked is None or now < self._asked_at + OVERDUE:
            return ""
        return f"the helper has been at work for more than {OVERDUE:.0f} s"

    @property
    def settling(self) -> float | None:
        """When the burst began that will be asked about before long; None where there is none."""
        burst = self.coalescer.burst
        return burst.opened if burst is not None and self.asked is None else None

    @property
    def open_burst(self) -> bool:
        burst = self.coalescer.burst
        if burst is not None and (burst.events or burst.lost):
            return True
        return self._unheard or (self.asked is not None and self.asked.burst is not None)

    # --- inside --------------------------------------------------------------------------------------------------

    @property
    def _unheard(self) -> bool:
        """A burst that another request was in the way of: it has been neither deferred nor failed."""
        return self._retry is not None and self._retry[1].burst is not None and not self._retry[1].again

    def _moments(self) -> tuple[float | None, float | None, float | None]:
        """When the open burst, the retry and the check are due; None for what there is not, or what waits.

        Until a burst has settled crash_hotplug must not be read, and an image that is loaded is soon out of date. A
        check takes the machine as it is for what the image was loaded for, where nothing else tells. So both wait for
        an open burst, whose own request is as good. A reload that is pending waits for nothing.
        """
        burst = self.coalescer.deadline()
        retry = self._retry[0] if self._retry else None
        if self._unheard:
            return None, retry, None
        if burst is not None:
            return burst, retry if self.pending else None, None
        return None, retry, self._check[0] if self._check else None

    def _next(self, now: float) -> Ask | None:
        burst_at, retry_at, check_at = self._moments()
        if burst_at is not None and (closed := self.coalescer.close(now)) is not None:
            burst, settled = closed
            return Ask(Request.UPDATE if settled else Request.UPDATE_UNSETTLED, burst=burst)
        retry = self._retry
        if retry and retry_at is not None and retry_at <= now:
            self._retry = self.deferred_until = None
            return replace(retry[1], request=Request.UPDATE_UNSETTLED) if self.coalescer.burst else retry[1]
        if self._check and check_at is not None and check_at <= now:
            ask, self._check = self._check[1], None
            # A change whose update has failed is still open: a mere check would take it for described.
            changed = retry is not None and retry[1].request is not Request.CHECK
            return replace(ask, request=Request.UPDATE) if changed else ask
        return None

    def _again(self, ask: Ask, now: float) -> None:
        backoff = self._pending_backoff if self.pending else self._backoff
        # What has failed may have been about events that still arrived; by then they have settled.
        request = Request.UPDATE if ask.request is Request.UPDATE_UNSETTLED else ask.request
        why = ask.why or "the last attempt failed"
        self._retry = (now + backoff.failed(), Ask(request, why, ask.burst, again=True))

    def _ended(self) -> Ask:
        ask, self.asked = self.asked or Ask(Request.CHECK), None
        if ask.burst is None and self._retry:  # its burst has come to no end yet
            ask = replace(ask, burst=self._retry[1].burst, again=True)
        return ask

    def _plan(self, now: float) -> None:
        """The next check that nothing calls for."""
        if self._check is None:
            self._check = (now + self.interval, Ask(Request.CHECK, "regular check", routine=True))
