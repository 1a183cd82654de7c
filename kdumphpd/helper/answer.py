# SPDX-License-Identifier: GPL-2.0-or-later
"""The record and the answer of a request after which nothing was loaded."""

from collections.abc import Callable

from kdumphpd.helper.decide import Action, Decision
from kdumphpd.helper.observe import Observation
from kdumphpd.helper.record import Record
from kdumphpd.protocol import Outcome, Reason, Result


def left_alone(
    record: Record, observed: Observation, decision: Decision, wanting: Callable[[], str] = lambda: ""
) -> Result:
    """The answer, once `record` is up to date. `wanting`: which unit wants an image where none is, in words."""
    _note(record, observed, decision)
    if decision.reason is Reason.NOT_LOADED and (why := wanting()):
        return Result(Outcome.MISSING, reason=decision.reason, detail=why)
    outcome = {
        Action.LEAVE_ALONE: Outcome.NOT_LOADED,
        Action.NOTHING: Outcome.UNVERIFIED if decision.reason is Reason.KERNEL_UPDATES else Outcome.CURRENT,
        Action.UNRESOLVED: Outcome.UNSAFE if decision.reason is Reason.UNSAFE else Outcome.STALE,
    }[decision.action]
    armed = decision.action is not Action.LEAVE_ALONE
    updates = armed and (decision.reason is Reason.KERNEL_UPDATES or observed.updatable)
    return Result(outcome, reason=decision.reason, detail=decision.detail, armed=armed, kernel_updates=updates)


def _note(record: Record, observed: Observation, decision: Decision) -> None:
    """Write down what an observation says of the loaded image, where nothing was loaded."""
    record.pending = None  # there is an image, or there shall be none
    if decision.action is Action.LEAVE_ALONE:  # unloaded since it was observed, perhaps
        record.forget_image()
        return
    if observed.image and observed.identity != record.image:
        # One that was not read when we loaded it has been given no identity then.
        record.image, record.method = observed.identity, "" if record.image else record.method
    if observed.settled:
        record.kernel_updates = observed.updatable
    if decision.describes or observed.readable:
        record.overtaken = False
    if decision.describes:
        record.machine = observed.machine or record.machine
    if decision.action is Action.NOTHING and observed.readable:
        record.handled = max(record.handled, observed.last_error)
    if decision.action is Action.NOTHING:
        record.unresolved = record.reported = ""
