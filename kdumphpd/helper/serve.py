# SPDX-License-Identifier: GPL-2.0-or-later
"""The pipeline of one request: observe → decide → load → observe → record → answer.

Whatever touches the system is an operation of `System` (system.py), so that a test can stand in for all of it.
"""

from collections.abc import Callable
from typing import Protocol

from kdumphpd import journal
from kdumphpd.config import Config
from kdumphpd.helper.answer import left_alone, note
from kdumphpd.helper.decide import Action, Decision, decide
from kdumphpd.helper.observe import Observation
from kdumphpd.helper.record import Record
from kdumphpd.helper.replace import ReloadOperations, reload
from kdumphpd.image.verdict import ImageState
from kdumphpd.load.budget import next_allowed
from kdumphpd.protocol import Outcome, Reason, Request, Result

log = journal.logger()

Say = Callable[[str], None]  # tells the other side of a step that begins


class System(ReloadOperations, Protocol):
    """What a request does and sees beyond a reload."""

    def prepare(self, say: Say) -> None:
        """Record ahead of need what the loader would run, where that is not known or may be old. Never fails."""

    def lacking(self) -> str:
        """What the capture kernel's command line lacks by what is recorded; empty for nothing, or nothing known."""


def serve(request: Request, system: System, record: Record, config: Config, say: Say) -> Result:
    """Answer `request`; `record` is changed and saved. Raises OSError where the kernel's files can't be read."""
    say("reading the loaded image")
    observed = system.observe(record, settled=request is not Request.UPDATE_UNSETTLED)
    if request is Request.VERIFY:
        return _verified(observed)
    if observed.loaded:
        record.pending = None  # whoever loaded the image that is there now has ended what we began
    stopped = not observed.loaded and record.pending is not None and system.was_stopped(record.pending)
    unread = observed.loaded and not (observed.readable or observed.fadump)
    if unread and request is Request.CHECK:
        system.prepare(say)
    lacking = system.lacking() if unread and config.reload.append else ""
    decision = decide(observed, record, request, config, stopped=stopped, lacking=lacking)
    if decision.action is not Action.RELOAD:
        if observed.loaded and not unread and request is Request.CHECK:
            system.prepare(say)
        note(record, observed, decision)
        system.save(record)
        return left_alone(decision, observed)
    wait = _wait(record, config, system.now())
    if observed.loaded and wait > 0 and request is not Request.REARM_NOW:
        return _deferred(system, record, observed, decision, wait)
    return reload(system, record, config, request, decision, observed, say)


def _verified(observed: Observation) -> Result:
    outcome = {
        ImageState.CURRENT: Outcome.CURRENT,
        ImageState.STALE: Outcome.STALE,
        ImageState.UNSAFE: Outcome.UNSAFE,
        ImageState.NO_IMAGE: Outcome.NOT_LOADED,
        ImageState.UNREADABLE: Outcome.UNREADABLE,
    }[observed.verdict.state]
    detail = "" if outcome in (Outcome.CURRENT, Outcome.NOT_LOADED) else observed.verdict.sentence()
    return Result(outcome, detail=detail, armed=observed.loaded, kernel_updates=observed.updatable)


def _deferred(system: System, record: Record, observed: Observation, decision: Decision, wait: float) -> Result:
    if decision.reason is Reason.NOT_UPDATABLE:  # it is right, and a later check sees the same
        decision = Decision(Action.NOTHING, Reason.CURRENT, describes=True)
        note(record, observed, decision)
        system.save(record)
        return left_alone(decision, observed)
    system.save(record)
    return Result(Outcome.DEFERRED, reason=decision.reason, detail=decision.detail, armed=True, wait=wait)


def _wait(record: Record, config: Config, now: float) -> float:
    """Seconds before the next reload is within the rate limit."""
    if not record.unprotected:
        return 0.0
    return next_allowed(record.ended, record.unprotected, config.reload.max_unprotected) - now
