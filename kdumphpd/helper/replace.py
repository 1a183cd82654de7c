# SPDX-License-Identifier: GPL-2.0-or-later
"""Replacing the loaded image, once that is decided: wait for others, note it as pending, load, observe, record."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from kdumphpd import journal
from kdumphpd.config import Config, LoaderChoice
from kdumphpd.helper import attempt
from kdumphpd.helper.answer import left_alone
from kdumphpd.helper.attempt import Attempt, LoadOperations, Measured
from kdumphpd.helper.decide import Action, Decision, changed_since, decide
from kdumphpd.helper.observe import Observation
from kdumphpd.helper.record import UNREAD, Pending, Record, digest
from kdumphpd.helper.unload import UnloadOperations, unload
from kdumphpd.image.fingerprint import Fingerprint
from kdumphpd.image.verdict import ImageState
from kdumphpd.kernel.limits import Limits
from kdumphpd.load.choose import NoLoader
from kdumphpd.load.method import Kind, Method
from kdumphpd.load.recording import LeftNothing
from kdumphpd.load.run import LoadFailed, NotReady
from kdumphpd.load.units import States
from kdumphpd.messages import BECAUSE, MessageId
from kdumphpd.protocol import Outcome, Reason, Request, Result

log = journal.logger()


# The machine changed while the image was loaded: its uevents, or this, bring the next request.
SOON = 1.0  # seconds


# Why an image that describes the machine is reloaded all the same.
IMPROVEMENTS = (Reason.UNSAFE, Reason.NOT_UPDATABLE)


class Refused(LoadFailed):
    """The kernel loads no image any more, and only an operator can change that."""


class ReloadOperations(LoadOperations, UnloadOperations, Protocol):
    """What a reload does and sees."""

    def now(self) -> float: ...
    def machine(self) -> Fingerprint | None: ...
    def save(self, record: Record) -> bool: ...
    def lacking(self) -> str: ...
    def wanting(self) -> str: ...
    def limits(self) -> Limits: ...
    def wait_until_idle(self, loader: LoaderChoice) -> tuple[bool, States]: ...
    def changed(self, loader: LoaderChoice, before: States) -> tuple[bool, bool]: ...
    def methods(
        self, loader: LoaderChoice, limits: Limits, say: Callable[[str], None], *, renew: bool = False
    ) -> list[Method]: ...
    def keep_keys(self, record: Record) -> AbstractContextManager[None]: ...
    def meter(self) -> AbstractContextManager[Measured]: ...


def decided(
    system: ReloadOperations, record: Record, request: Request, config: Config, observed: Observation
) -> Decision:
    """Decide, with what systemd and the loader tell where the image does not."""
    stopped = not observed.loaded and record.pending is not None and system.was_stopped(record.pending)
    lacking = system.lacking() if observed.unread and config.reload.append else ""
    # Its identity is not known: where one of the units was at work since our load, it is that one's image.
    if lacking and record.loaders and system.changed(system.loader(), record.loaders)[0]:
        record.method, record.improved, record.loaders = "", "", ()
    return decide(observed, record, request, config, stopped=stopped, lacking=lacking)


@dataclass
class Reload:
    """One reload under way."""

    system: ReloadOperations
    record: Record
    config: Config
    request: Request
    say: Callable[[str], None]


def reload(
    system: ReloadOperations,
    record: Record,
    config: Config,
    request: Request,
    decision: Decision,
    before: Observation,
    say: Callable[[str], None],
) -> Result:
    """Load the image again and observe what came of it. Raises OSError where the kernel's files can't be read."""
    run = Reload(system, record, config, request, say)
    name = ""
    try:
        name = loader = system.loader()
        limits = system.limits()
        if limits.refusal and loader is not LoaderChoice.FADUMP:  # which calls no kexec
            raise Refused(limits.refusal)
        result = _reload(run, loader, limits, decision, before)
    except LoadFailed as error:  # before anything was touched
        result = _not_begun(run, decision, error)
    if result.outcome is Outcome.FAILED and not result.known:
        log.error(f"the reload failed: {result.detail}", id=MessageId.RELOAD_FAILED)
    system.save(record)
    return replace(result, reason=result.reason or decision.reason, loader=name)


def _not_begun(run: Reload, decision: Decision, error: LoadFailed) -> Result:
    """What nobody but an operator can change is reported once."""
    final = isinstance(error, NoLoader | Refused)
    name = digest(str(error)) if final else ""
    known, run.record.reported = bool(final and run.record.reported == name), name
    armed = run.system.is_loaded()
    if armed and decision.reason in IMPROVEMENTS:
        outcome = Outcome.UNSAFE if decision.reason is Reason.UNSAFE else Outcome.CURRENT
        why = "; ".join(filter(None, (decision.detail, str(error))))
        soon = SOON if isinstance(error, NotReady) else 0.0  # its files may be whole in a moment
        return replace(_not_improved(outcome, why), wait=soon)
    detail = f"{decision.detail or BECAUSE.get(decision.reason, '')}; {error}"
    return Result(Outcome.FAILED, detail=detail, armed=armed, retry=not final, known=known)


def _not_improved(outcome: Outcome, why: str) -> Result:
    """The image describes the machine; that it could not be made any better is no failure of kdump."""
    return Result(outcome, detail=f"it was to be reloaded, and could not: {why}", armed=True, retry=False)


def _reload(run: Reload, loader: LoaderChoice, limits: Limits, decision: Decision, before: Observation) -> Result:
    """Raises LoadFailed while nothing has been touched."""
    system, record = run.system, run.record
    waited, units = system.wait_until_idle(loader)
    begun = units
    if waited:
        before = system.observe(record, settled=before.settled)
        decision = decided(system, record, run.request, run.config, before)
    if decision.action is not Action.RELOAD:
        # Others were waited for, and have done what was to be done, or undone it.
        return left_alone(record, before, decision, system.wanting)
    methods = _wanted(_methods(run, loader, limits, units), decision, before)
    log.info(f"reloading the kdump image: {decision.detail or BECAUSE[decision.reason]}")
    if before.loaded and not system.is_loaded():  # unloaded while the loader was asked, and not by us
        return left_alone(record, before, Decision(Action.LEAVE_ALONE, Reason.NOT_LOADED), system.wanting)
    machine = system.machine()  # before, for what changes meanwhile is not in the image
    done, meter = _load(run, methods, decision, before, units)
    outdated = False
    at_work, stopped = system.changed(loader, units)
    if at_work and not stopped:
        # Its load and ours may have met, and its configuration may be another one now.
        log.info("the distribution's unit was at work meanwhile: loading once more, as it is configured now")
        try:
            _, units = system.wait_until_idle(loader)
            methods = _methods(run, loader, limits, units, renew=True)
            now = system.machine()
            done, again = _load(run, methods, decision, before, units)
        except LoadFailed as error:
            log.warning(f"that could not begin: {error}")
            outdated = True
        else:
            machine = now
            meter.seconds += again.seconds
            meter.unprotected += again.unprotected
        stopped = any(system.changed(loader, earlier)[1] for earlier in (begun, units))
    if stopped:
        return unload(system, record, loader, begun, done.observed)
    result = _conclude(run, decision, before, done, meter, machine)
    if done.succeeded:
        record.loaders = units or ()
    if outdated and result.outcome is Outcome.RELOADED:
        return replace(result, outcome=Outcome.DEFERRED, wait=SOON, detail="its configuration is another one now")
    return result


def _methods(
    run: Reload, loader: LoaderChoice, limits: Limits, units: States, *, renew: bool = False
) -> list[Method]:
    try:
        return run.system.methods(loader, limits, run.say, renew=renew)
    except LeftNothing:  # by asking for them
        run.record.pending = Pending.noted(units, run.system.now())
        raise


def _wanted(methods: list[Method], decision: Decision, before: Observation) -> list[Method]:
    """The distribution's own reload makes an image as unsafe or as little updatable as the one that it takes down."""
    if decision.reason in IMPROVEMENTS and before.loaded:
        methods = [method for method in methods if method.kind is not Kind.DISTRIBUTION]
        if not methods:
            raise LoadFailed("only the distribution's own reload is left, and that would load the same image again")
    return methods


def _load(
    run: Reload, methods: Sequence[Method], decision: Decision, before: Observation, units: States
) -> tuple[Attempt, Measured]:
    """Note that a reload is pending, and load. Raises LoadFailed where it can't be noted and an image is loaded."""
    system, record = run.system, run.record
    record.keys_reused = True  # before it is: nobody else would put it back
    if record.pending is None:
        record.pending = Pending.noted(units, run.system.now())
    if not system.save(record) and system.is_loaded():
        record.pending = None
        raise LoadFailed(
            "it cannot be noted that a reload begins, and then it might be forgotten half-way; the image that is "
            "loaded was not touched"
        )
    try:
        with system.keep_keys(record), system.meter() as meter:
            done = attempt.attempt(methods, before, record, decision.reason, system, meter, run.say)
    except Exception:
        if system.is_loaded():
            record.pending = None
            system.save(record)  # whatever it was, nobody may be left to do so
        raise
    return done, meter


def _conclude(
    run: Reload,
    decision: Decision,
    before: Observation,
    done: Attempt,
    meter: Measured,
    machine: Fingerprint | None,
) -> Result:
    """What came of it, in the record and in words."""
    system, record = run.system, run.record
    armed = system.is_loaded()
    now, since = system.now(), record.pending.since if record.pending else 0.0
    earlier, gap = 0.0, 0.0
    if decision.reason is Reason.PENDING and since:  # attempts before this one, and the time between them
        earlier = record.unprotected if record.ended >= since else 0.0
        gap = max(0.0, now - meter.seconds - max(since, record.ended))
    record.pending = None if armed else record.pending
    record.ended, record.unprotected = now, earlier + gap + meter.unprotected
    record.unprotected_total += gap + meter.unprotected
    record.ineffective = sorted({*record.ineffective, *done.ineffective})
    seen = done.observed
    if seen is not None and decision.reason in IMPROVEMENTS:
        record.improved = seen.identity or UNREAD
    elif not done.succeeded and armed and decision.reason in IMPROVEMENTS:
        record.improved = before.identity or UNREAD  # every method was tried, and none could
    if done.method is None or seen is None or not armed:
        detail = "; then ".join(done.failures) or "no load method is left to try"
        if armed and decision.reason in IMPROVEMENTS:
            outcome = Outcome.UNSAFE if decision.reason is Reason.UNSAFE else Outcome.CURRENT
            return _measured(meter, _not_improved(outcome, detail))
        return _measured(meter, Result(Outcome.FAILED, detail=detail, armed=armed))
    record.reloads += 1
    record.method, record.image = done.method.kind, seen.identity
    record.machine, record.files = machine, done.files or record.files
    record.overtaken = not seen.readable and machine is not None and changed_since(machine, seen) is not None
    # Until the events have settled the kernel is not asked.
    record.kernel_updates = seen.updatable if seen.image or seen.settled else done.method.updatable
    record.handled = max(record.handled, before.last_error)
    record.unresolved = record.reported = ""
    outcome, wait, detail = Outcome.RELOADED, 0.0, decision.detail
    if seen.stale:
        detail = seen.verdict.sentence()
        if attempt.shares_a_fault(before, seen):
            outcome, record.unresolved = Outcome.STALE, digest(detail)
        else:
            outcome, wait = Outcome.DEFERRED, SOON
    elif record.overtaken:
        outcome, wait, detail = Outcome.DEFERRED, SOON, "CPUs or memory changed while the image was loaded"
    elif seen.verdict.state is ImageState.UNSAFE and run.config.reload.append:
        detail = seen.verdict.sentence()
        again = decision.reason is not Reason.UNSAFE
        outcome, wait = (Outcome.DEFERRED, SOON) if again else (Outcome.UNSAFE, 0.0)
    attempt.say_lost_keys(before, seen)
    return _measured(
        meter,
        Result(
            outcome,
            detail=detail,
            method=done.method.name,
            armed=armed,
            wait=wait,
            kernel_updates=record.kernel_updates,
        ),
    )


def _measured(meter: Measured, result: Result) -> Result:
    return replace(result, seconds=meter.seconds, unprotected=meter.unprotected)
