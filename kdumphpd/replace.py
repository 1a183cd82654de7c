# SPDX-License-Identifier: GPL-2.0-or-later
"""Replacing the loaded image, once that is decided: wait for others, promise, load, look, and write it all down."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from kdumphpd import memo, reload, sight
from kdumphpd.config import Config
from kdumphpd.kernel.loaded import image_loaded, reservation
from kdumphpd.memo import Memo
from kdumphpd.messages import REASONS, MessageId
from kdumphpd.policy import Action, Decision, Reason
from kdumphpd.protocol import Outcome, Result
from kdumphpd.reload import bound, crypt_keys, preflight
from kdumphpd.reload.attempt import Attempt, World, attempt, lacks_the_same
from kdumphpd.reload.gap import GapMeter
from kdumphpd.reload.run import LoadFailed, Withdrawn
from kdumphpd.reload.units import wait_until_idle
from kdumphpd.reload.way import Way
from kdumphpd.sight import Sight

log = structlog.get_logger()

Say = Callable[[str], None]  # tells the other side of a step that begins

# The machine changed while the image was loaded: its uevents, or this, bring the next look.
SOON = 1.0  # seconds


def replace(
    root: Path, settings: Config, say: Say, memory: Memo, reason: Reason, before: Sight, detail: str
) -> Result:
    """Load the image anew and look at what came of it. `detail` says what was wrong with the old one.

    Raises OSError where the kernel's small files can't be read.
    """
    log.info(f"reloading the kdump image: {detail or REASONS[reason]}")
    name = ""
    try:
        name = reload.choose(root, settings)
        loader = reload.LOADERS[name]
        waited = wait_until_idle(loader.UNITS, settings.reload.timeout)
        with loader.lock(root, settings):
            if waited:
                before = sight.look(root, settings, memory)
            if decision := _overtaken(root, memory, before, waited=waited):
                memory.owed = False
                result = left_alone(decision, before, "")
            else:
                ways = loader.ways(root, settings)
                memory.upgraded |= reason is Reason.UPGRADE
                _promise(root, memory)
                meter = GapMeter(root)
                with crypt_keys.reused(root), meter:
                    done = attempt(ways, before, memory.burnt, _world(root, settings, say, memory))
                result = _conclude(root, settings, memory, before, meter, done, detail)
    except Withdrawn as error:
        log.info(str(error))
        memory.owed = False
        result = left_alone(Decision(Action.LEAVE_ALONE, Reason.NOTHING_LOADED), before, str(error))
    except LoadFailed as error:  # before anything was touched
        armed = image_loaded(root)
        memory.owed &= not armed
        result = Result(outcome=Outcome.FAILED, detail=str(error), armed=armed)
    if result.outcome is Outcome.FAILED:
        log.error(f"the reload failed: {result.detail}", id=MessageId.RELOAD_FAILED)
    remember(root, memory)
    return dataclasses.replace(result, reason=result.reason or reason, loader=name)


def _overtaken(root: Path, memory: Memo, seen: Sight, *, waited: bool) -> Decision | None:
    """Why nothing is to be done any more, after others were waited for; None where there is."""
    if waited and seen.current:
        return Decision(Action.NOTHING, Reason.IMAGE_CURRENT)
    if not memory.owed and not image_loaded(root):
        return Decision(Action.LEAVE_ALONE, Reason.NOTHING_LOADED)  # unloaded meanwhile, and not by us
    return None


def _promise(root: Path, memory: Memo) -> None:
    """Note that we owe an image. Raises LoadFailed where that can't be noted, and there is one to lose."""
    memory.owed = True
    memory.registered = ""  # until fadump is registered again, nobody knows for what
    try:
        memo.write(root, memory)
    except OSError as error:
        if image_loaded(root):
            raise LoadFailed(
                f"cannot note in {root / memo.MEMORY} that a reload begins ({error.strerror}), and unnoted it might "
                "be forgotten half-way; the image that is loaded was not touched"
            ) from error


def _world(root: Path, settings: Config, say: Say, memory: Memo) -> World:
    checked: set[tuple[Path | None, Path | None]] = set()  # ways differ in how they load, seldom in what

    def check(way: Way) -> None:
        if way.kernel and (way.kernel, way.initrd) not in checked:
            preflight.check(root, way.kernel, way.initrd, reservation(root))
            checked.add((way.kernel, way.initrd))

    def load(way: Way) -> None:
        say(f"loading the image with {way.name}")
        ram = sight.ram_digest(root)  # before, for what changes meanwhile is not registered
        way.load(settings.reload.timeout)
        memory.registered = ram

    return World(
        check=check, load=load, armed=lambda: image_loaded(root), look=lambda: sight.look(root, settings, memory)
    )


def _conclude(
    root: Path, settings: Config, memory: Memo, before: Sight, meter: GapMeter, done: Attempt, detail: str
) -> Result:
    """What came of an attempt, in words for the listener and in what is remembered."""
    now = time.monotonic()
    armed = image_loaded(root)
    memory.owed = not armed
    memory.burnt = sorted({*memory.burnt, *done.burnt})
    memory.free_at = bound.next_reload(memory.free_at, now, meter.unprotected, settings.reload.max_unprotected)
    memory.unmended = ""
    outcome, wait = Outcome.RELOADED, 0.0
    if done.seen is None or not armed:
        outcome, detail = Outcome.FAILED, "; then ".join(done.failures)
    elif done.seen.stale:
        detail = done.seen.words
        if lacks_the_same(before, done.seen):
            outcome, memory.unmended = Outcome.STALE, memo.digest(detail)
        else:
            outcome, wait = Outcome.DEFERRED, max(SOON, memory.free_at - now)
    return Result(
        outcome=outcome,
        detail=detail,
        way=done.way.name if done.way else "",
        seconds=meter.seconds,
        unprotected=meter.unprotected,
        armed=armed,
        wait=wait,
        kernel_updates=done.seen is not None and done.seen.kernel_updates,
    )


def left_alone(decision: Decision, seen: Sight, detail: str) -> Result:
    """The answer where nothing is loaded anew."""
    outcome = {
        Action.LEAVE_ALONE: Outcome.NOTHING_LOADED,
        Action.NOTHING: Outcome.CURRENT,
        Action.KERNEL: Outcome.TRUSTED,
    }[decision.action]
    return Result(
        outcome=outcome,
        reason=decision.reason,
        detail=detail,
        armed=decision.action is not Action.LEAVE_ALONE,
        kernel_updates=decision.action is Action.KERNEL or seen.kernel_updates,
    )


def remember(root: Path, memory: Memo) -> None:
    """Write down what no image hangs on."""
    try:
        memo.write(root, memory)
    except OSError as error:
        log.warning(f"cannot write {root / memo.MEMORY}: {error.strerror}; what was seen is seen again next time")
