# SPDX-License-Identifier: GPL-2.0-or-later
"""The pipeline of one request: observe → decide → load → observe → record → answer.

Whatever touches the system is an operation of system.py, so that a test can stand in for all of it.
"""

from collections.abc import Callable

from kdumphpd import journal
from kdumphpd.config import Config
from kdumphpd.helper.answer import left_alone
from kdumphpd.helper.decide import Action, Decision
from kdumphpd.helper.observe import Observation
from kdumphpd.helper.record import Record
from kdumphpd.helper.replace import ReloadOperations, decided, reload
from kdumphpd.helper.unload import unwanted
from kdumphpd.load.budget import next_allowed
from kdumphpd.protocol import Outcome, Reason, Request, Result

log = journal.logger()

Say = Callable[[str], None]  # tells the other side of a step that begins


def serve(request: Request, system: ReloadOperations, record: Record, config: Config, say: Say) -> Result:
    """Answer `request`; `record` is changed and saved. Raises OSError where the kernel's files can't be read."""
    say("reading the loaded image")
    observed = system.observe(record, settled=request is not Request.UPDATE_UNSETTLED)
    if observed.loaded:
        record.pending = None  # whoever loaded the image that is there now has ended what we began
    if (result := unwanted(system, record, observed)) is not None:
        system.save(record)
        return result
    decision = decided(system, record, request, config, observed)
    if decision.action is not Action.RELOAD:
        result = left_alone(record, observed, decision, system.wanting)
        system.save(record)
        return result
    wait = next_allowed(record.ended, record.unprotected, config.reload.max_unprotected) - system.now()
    if observed.loaded and wait > 0 and request is not Request.REARM_NOW:
        return _deferred(system, record, observed, decision, wait)
    return reload(system, record, config, request, decision, observed, say)


def _deferred(
    system: ReloadOperations, record: Record, observed: Observation, decision: Decision, wait: float
) -> Result:
    if decision.reason is Reason.NOT_UPDATABLE:  # it is right, and a later check sees the same
        decision = Decision(Action.NOTHING, Reason.CURRENT, describes=True)
        result = left_alone(record, observed, decision)
    else:
        result = Result(Outcome.DEFERRED, reason=decision.reason, detail=decision.detail, armed=True, wait=wait)
    system.save(record)
    return result
