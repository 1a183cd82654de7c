# SPDX-License-Identifier: GPL-2.0-or-later
"""The listener of the model: its real Schedule, between the model's uevents and the model's helper."""

from kdumphpd.listener import watch
from kdumphpd.listener.coalesce import Uevent
from kdumphpd.listener.schedule import FINE, PENDING_LONGEST, REPLACED_DELAY, UNLOADED_DELAY, Ask, Schedule
from kdumphpd.listener.watch import FILES, Marks
from kdumphpd.protocol import Outcome, Request, Result
from kdumphpd.runtime import reload_pending
from tests.property.model.machine import Machine
from tests.property.model.surroundings import HelperUnavailable, Hung

MOST_REQUESTS = 20  # in one turn of the loop: more would be without end
MOST_TURNS = 20_000  # in one run: the same


class Listener:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.schedule = Schedule()
        self.receiving = True
        self.last: Result | None = None
        self._marks = self._read_marks()
        self._look_at = self.now
        self.schedule.start(self.now)
        self.turn()

    @property
    def now(self) -> float:
        return self.machine.kernel.clock.now

    @property
    def healthy(self) -> bool:
        schedule = self.schedule
        wrong = schedule.failure or schedule.wrong or schedule.pending or schedule.deferred_until is not None
        return self.receiving and not wrong

    def uevent(self, event: Uevent) -> None:
        if self.receiving:
            self.schedule.uevent(event, self.now)

    def lost(self, why: str) -> None:
        self.receiving = True
        self.schedule.lost(why, self.now)

    # --- time ----------------------------------------------------------------------------------------------------

    def run_until(self, end: float) -> None:
        """Let time pass, and do what is due in it."""
        for _ in range(MOST_TURNS):
            moment = min([end, *filter(None, (self.schedule.deadline(), self._next_look()))])
            self.machine.kernel.clock.now = max(self.now, moment)
            self.turn()
            if self.now >= end:
                return
        raise AssertionError("the listener is awake all the time")

    def turn(self) -> None:
        self._look()
        deadline = self.schedule.deadline()
        if self.schedule.asked is not None and deadline is not None and self.now >= deadline:
            self._unanswered("the helper gave no result")
        for _ in range(MOST_REQUESTS):
            ask = self.schedule.due(self.now)
            if ask is None:
                break
            self._ask(ask)
        else:
            raise AssertionError("the listener asks without end")
        self.check()

    def check(self) -> None:
        """What holds at every moment."""
        schedule, deadline = self.schedule, self.schedule.deadline()
        assert deadline is not None, "nothing is open, not even the next regular check"
        if schedule.asked is None:
            assert deadline <= self.now + schedule.interval, "a wait beyond verify.interval"
            if schedule.pending and (self.last is None or self.last.retry):
                assert deadline <= self.now + PENDING_LONGEST, "a pending reload waits"
        if self.last is not None and (self.last.outcome not in FINE or (self.last.pending and not self.last.armed)):
            assert not self.healthy, "healthy after an answer that says otherwise"

    # --- looking -------------------------------------------------------------------------------------------------

    def _read_marks(self) -> Marks:
        machine = self.machine
        unit = machine.distribution
        invocation = str(unit.changes) if unit.active == "active" else ""
        # Not the file's time: the clock of a file system is too coarse for the speed of a model.
        written = (0, 0, machine.saves) if machine.saves else None
        return Marks(
            machine.kernel.image is not None, (invocation, "", "", ""), (*[None] * (len(FILES) - 1), written)
        )

    def _next_look(self) -> float | None:
        """None where it would see nothing new."""
        if self.schedule.asked is not None:
            return None
        pending = self.machine.kernel.image is None and reload_pending(self.machine.root)
        changed = self._read_marks() != self._marks or pending != self.schedule.pending
        return self._look_at if changed else None

    def _look(self) -> None:
        if self.now < self._look_at:
            return
        self._look_at = self.now + watch.PERIOD
        marks = self._read_marks()
        before, self._marks = self._marks, marks
        if self.schedule.asked is not None:
            return
        self._see()
        if found := watch.difference(before, marks):
            delay = REPLACED_DELAY if marks.loaded else UNLOADED_DELAY
            self.schedule.replaced(found.why, self.now, routine=not found.certain, delay=delay)

    def _see(self) -> None:
        loaded = self.machine.kernel.image is not None
        self.schedule.set_pending(not loaded and reload_pending(self.machine.root), self.now)

    # --- asking --------------------------------------------------------------------------------------------------

    def _ask(self, ask: Ask) -> None:
        settled = self.schedule.coalescer.burst is None
        assert settled or ask.request is Request.UPDATE_UNSETTLED, "crash_hotplug is read while events arrive"
        self._see()
        loaded = self.machine.kernel.image is not None
        told = ask.burst and self.last is not None and self.last.outcome is Outcome.NOT_LOADED
        if not loaded and not self.schedule.pending and told:
            self.schedule.skip(self.now)
            self.last = Result(Outcome.NOT_LOADED)
            return
        try:
            result = self.machine.request(ask.request)
        except HelperUnavailable as error:
            if not isinstance(error.__cause__, Hung):
                self._unanswered("the helper hung up without a result")
            return
        self._marks = self._read_marks()
        self.schedule.answered(result, self.now)
        if result.outcome is Outcome.BUSY:
            return
        self.schedule.set_pending(result.pending and not result.armed, self.now)
        self.last = result

    def _unanswered(self, why: str) -> None:
        self._marks = self._read_marks()
        self.schedule.unanswered(why, self.now)
