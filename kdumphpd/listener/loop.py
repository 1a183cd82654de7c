# SPDX-License-Identifier: GPL-2.0-or-later
"""The listener's loop: uevents and answers in, requests and reports out. It executes and decides nothing."""

import dataclasses
import selectors
import time
from collections.abc import Callable
from pathlib import Path

from kdumphpd import journal, messages
from kdumphpd.client import HelperUnavailable
from kdumphpd.kernel.loaded import reservation
from kdumphpd.listener import report, watch
from kdumphpd.listener.ask import Helper
from kdumphpd.listener.coalesce import Uevent
from kdumphpd.listener.publish import Publisher
from kdumphpd.listener.receive import Lost
from kdumphpd.listener.schedule import FINE, REPLACED_DELAY, RIGHT, UNLOADED_DELAY, Ask, Schedule
from kdumphpd.listener.tally import Tally
from kdumphpd.listener.uevents import Uevents
from kdumphpd.messages import MessageId
from kdumphpd.protocol import DESCRIBED, PATIENCE, Outcome, Request, Result, Totals
from kdumphpd.runtime import reload_pending
from kdumphpd.state import LastCheck, State
from kdumphpd.sysfs import block_size

log = journal.logger()


class Loop:
    """`notify` is sd_notify: assignments such as STATUS=…, one a line. `passed`: see Monitor; `keep`: see Daemon."""

    def __init__(
        self,
        root: Path,
        notify: Callable[[str], object],
        passed: int | None = None,
        keep: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._root = root
        self._schedule = Schedule()
        self._selector = selectors.DefaultSelector()
        self._uevents = Uevents(self._selector, self._heard, passed, keep)
        self._helper = Helper(root, self._selector, self)
        self._watch = watch.Watch(root)
        self._marks = self._watch.look()
        self._look_at = 0.0  # when the marks are read again
        self._tally = Tally()
        self._publisher = Publisher(root, notify, self._tally)
        self.state = State(started=time.time(), status="Checking the kdump image", healthy=True)

    # --- the loop ------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Receive from now on. Raises OSError where uevents can't be had."""
        # First of all: what happens between the first check and this would be lost otherwise.
        self._uevents.open()

    def start(self) -> None:
        self._schedule.start(time.monotonic())
        self._tally.crashkernel = reservation(self._root)
        self.publish()

    def watch_descriptor(self, descriptor: int, wake: Callable[[], None]) -> None:
        """Call `wake` whenever `descriptor` is readable."""
        self._selector.register(descriptor, selectors.EVENT_READ, wake)

    def turn(self, longest: float) -> None:
        """Wait for what comes next, `longest` seconds at most, and handle it."""
        for key, _ in self._selector.select(self._timeout(longest)):
            key.data()
        now = time.monotonic()
        self._uevents.retry(now)
        self._look(now)
        self._give_up(now)
        while (ask := self._schedule.due(now)) is not None:
            self._ask(ask)
            if self._helper.at_work:
                break
        self._get_ready()
        self.publish()

    def close(self) -> None:
        self._uevents.close()
        self._helper.close()
        self._selector.close()

    def _timeout(self, longest: float) -> float:
        moments = [self._look_at, *filter(None, (self._schedule.deadline(), self._uevents.reopen_at))]
        return max(0.0, min(longest, min(moments) - time.monotonic()))

    # --- uevents -------------------------------------------------------------------------------------------------

    def _heard(self, item: Uevent | Lost) -> None:
        now = time.monotonic()
        if isinstance(item, Lost):
            self.state.overflows += 1
            log.warning(f"uevents were lost: {item.why}; a full check follows", id=MessageId.EVENTS_LOST)
            self._schedule.lost(item.why, now)
        elif item.synthetic:
            self.state.synthetic += 1
        else:
            counts = self._schedule.uevent(item, now)
            self.state.events += counts
            self._tally.events[item.subsystem] += counts

    # --- the image, as far as anybody may see ----------------------------------------------------------------------

    def _look(self, now: float) -> None:
        if now < self._look_at:
            return
        self._look_at = now + watch.PERIOD
        marks = self._watch.look()
        if marks.loaded is False and self._marks.loaded is not False:
            marks = dataclasses.replace(marks, loaded=watch.confirmed(self._root))
        if self._helper.at_work:
            self._marks = dataclasses.replace(marks, units=self._marks.units)  # other changes are our own doing
            self._see(marks.loaded, now)
            return
        if self._helper.preparing:
            self._marks = watch.seen_of_loader(self._marks, marks)
        found = watch.difference(self._marks, marks)
        self._marks = marks
        self._see(marks.loaded, now)
        if found:
            delay = REPLACED_DELAY if marks.loaded else UNLOADED_DELAY
            self._schedule.replaced(found.why, now, routine=not found.certain, delay=delay)

    def _see(self, loaded: bool | None, now: float) -> None:
        self.state.loaded = loaded
        self._schedule.set_pending(not loaded and reload_pending(self._root), now)

    # --- asking --------------------------------------------------------------------------------------------------

    def _ask(self, ask: Ask) -> None:
        now = time.monotonic()
        loaded = watch.confirmed(self._root)
        self._see(loaded, now)
        # Once the helper has been told that the image is gone, a burst is no news to it.
        last = self.state.last_check
        told = ask.burst is not None and last is not None and last.outcome == Outcome.NOT_LOADED
        if loaded is False and not self._schedule.pending and told:
            self._schedule.skip(now)
            self._report(ask, Result(Outcome.NOT_LOADED))
            return
        try:
            self._helper.request(ask.request)
        except HelperUnavailable as error:
            self.unanswered(str(error))

    def _get_ready(self) -> None:
        opened = self._schedule.settling
        nothing_to_ask = self.state.loaded is False and not self._schedule.pending
        if opened is not None and not self._helper.at_work and not nothing_to_ask:
            self._helper.get_ready(opened)

    def _own_doing(self) -> None:
        """What has changed until now is, but for the distribution's units."""
        self._marks = dataclasses.replace(self._watch.look(), units=self._marks.units)

    def _give_up(self, now: float) -> None:
        deadline = self._schedule.deadline()
        if self._helper.at_work and deadline is not None and now >= deadline:
            self._helper.give_up()
            self.unanswered(f"the helper gave no result within {PATIENCE:.0f} s")

    def answered(self, result: Result) -> None:
        self._own_doing()
        ask, now = self._schedule.asked or Ask(Request.CHECK), time.monotonic()
        if result.outcome is Outcome.MISSING and result.detail == self._schedule.failure:
            result = dataclasses.replace(result, known=True)
        self._schedule.answered(result, now)
        if result.outcome is Outcome.BUSY:
            return
        if result.outcome is not Outcome.REFUSED:  # it has not looked
            self.state.loaded = result.armed
        self._schedule.set_pending(result.pending and not result.armed, now)
        self._report_others(self._tally.others(result))
        self._tally.answered(result, ask.burst.opened if ask.burst else None, now)
        if ask.routine and not self._schedule.open_burst:
            # It takes the kexec lock, and the kernel updates no image while that is held: not amid a burst.
            self._tally.crashkernel = reservation(self._root)
        self.state.checks += 1
        self.state.last_check = LastCheck(
            time.time(), result.outcome, result.detail, result.kernel_updates, result.method
        )
        self._report(ask, result)

    def unanswered(self, why: str) -> None:
        self._own_doing()
        ask, now = self._schedule.asked or Ask(Request.CHECK), time.monotonic()
        known = self._schedule.failure == why
        self._schedule.unanswered(why, now)
        self.state.failures += 1
        self.state.bursts += ask.burst is not None and not ask.again
        say = log.debug if known else log.error
        say(
            f"{self._happened(ask)}: {why}{self._again()}",
            id=MessageId.HELPER_UNAVAILABLE,
            **report.fields(ask, None, now),
        )

    def learned(self, what: str) -> None:
        self._schedule.replaced(what, time.monotonic(), routine=True)

    def prepared(self) -> None:
        self._marks = watch.seen_of_loader(self._marks, self._watch.look())

    # --- reporting -----------------------------------------------------------------------------------------------

    def _report(self, ask: Ask, result: Result) -> None:
        """One request, in the journal and in the state."""
        changed = ask.burst is not None and ask.burst.events > 0
        message_id, done = messages.what_was_done(result, changed=changed)
        sentence = f"{self._happened(ask)}: {done}"
        retried = self._again() if result.outcome not in FINE | {Outcome.DEFERRED, Outcome.MISSING} else ""
        stale = 0.0
        if ask.burst is not None and result.armed and result.outcome not in RIGHT and result.reason not in DESCRIBED:
            stale = time.monotonic() - ask.burst.opened
        journal_fields = report.fields(ask, result, time.monotonic())
        log.say(report.level(ask, result), f"{sentence}{retried}", id=message_id, **journal_fields)
        report.count(self.state, ask, result, f"{sentence}{retried}", stale)

    def _report_others(self, done: Totals) -> None:
        """Reloads that somebody else asked the helper for."""
        if done.reloads:
            log.info(
                report.by_others(done),
                id=MessageId.RELOADED,
                outcome=Outcome.RELOADED,
                unprotected=done.unprotected,
            )
            self.state.reloads += done.reloads
            self.state.unprotected += done.unprotected

    def _happened(self, ask: Ask) -> str:
        return report.what_happened(ask, block_size(self._root))

    def _again(self) -> str:
        wait = self._wait()
        return f"; trying again in {wait:.0f} s" if wait is not None else ""

    def _wait(self) -> float | None:
        """Seconds until the next try of what has failed or was deferred."""
        at = self._schedule.next_try
        return None if at is None else max(0.0, at - time.monotonic())

    def publish(self) -> None:
        """Bring the state up to date, and show it."""
        schedule, now = self._schedule, time.monotonic()
        self.state.receiving, self.state.receive_buffer = self._uevents.receiving, self._uevents.receive_buffer
        self.state.burst, self.state.asking = schedule.open_burst, schedule.asked is not None
        overdue = schedule.overdue(now) if schedule.pending or self.state.loaded is not False else ""
        self.state.pending, self.state.failure = schedule.pending, schedule.failure or overdue
        deferred = schedule.deferred_until
        # Of the clock on the wall, and so rounded: it would differ a little each time.
        self.state.deferred_until = round(time.time() + deferred - now) if deferred is not None else 0.0
        wrong = self.state.failure or schedule.wrong or schedule.pending or deferred is not None
        self.state.healthy = self.state.receiving and not wrong
        self.state.status = report.status(self.state, self._wait())
        report.note_condition(self.state, time.time())
        self._publisher.publish(self.state, now)

    # --- configuration -------------------------------------------------------------------------------------------

    def configured(self, result: Result) -> None:
        if result.settings:
            self._schedule.configured(result.settings, time.monotonic())
        self._publisher.forget()  # STATUS= may say that an earlier configuration was refused
        if self._schedule.failure or self._schedule.wrong:
            self._schedule.replaced("the configuration was reloaded", time.monotonic())

    def unfinished(self) -> str:
        """What is left open by whoever stops now; empty for nothing."""
        self.publish()
        return report.unfinished(self.state)
