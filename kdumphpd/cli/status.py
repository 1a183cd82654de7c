# SPDX-License-Identifier: GPL-2.0-or-later
"""Show whether kdump is armed, and what kdumphpd has received and done.

Exit status: 0 armed, 1 the image is wrong or missing against the operator's wish, 3 no image is loaded, 4 that can't
be told, or kdumphpd does not run. Reading it disturbs nothing: crash_hotplug, which takes the kexec lock, is not
read.
"""

import argparse
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kdumphpd.cli import facts
from kdumphpd.cli.facts import Facts
from kdumphpd.cli.health import Health, Protection, judge
from kdumphpd.cli.output import Coloured, Line, Tone, field, show
from kdumphpd.cli.words import count, moment
from kdumphpd.kernel.crash_hotplug import Subsystem
from kdumphpd.state import State

TONES = {Protection.YES: Tone.GOOD, Protection.IN_PART: Tone.DOUBTFUL, Protection.NO: Tone.BAD}

MEANING = {
    Protection.IN_PART: ": an image is loaded, but a dump may miss something or fail",
    Protection.NO: ": a panic leaves no dump",
}


def run(options: argparse.Namespace, root: Path) -> int:
    found = facts.read(root)
    health = judge(found)
    show(options, content(found, health), lines(found, health))
    return health.exit


def content(found: Facts, health: Health) -> dict[str, Any]:
    """What --json shows."""
    return {
        "protected": health.protection.lower().replace(" ", "-"),
        "exit": health.exit,
        "why": health.why,
        "hint": health.hint,
        "loaded": found.loaded,
        "problem": found.problem or found.absence,
        "fadump": dataclasses.asdict(found.fadump) if found.fadump else None,
        "kernel_can_update": dict(found.updates),
        "last_load": dataclasses.asdict(found.last_load) if found.last_load else None,
        "units": {unit: block["ActiveState"] for unit, block in found.units.items()} if found.units else None,
        "listener": dataclasses.asdict(found.listener) if found.listener else None,
    }


def lines(found: Facts, health: Health) -> Iterable[Line]:
    """What people see: whether the machine is protected first."""
    word = Coloured(health.protection, TONES.get(health.protection, Tone.DOUBTFUL))
    yield field("protected", word, MEANING.get(health.protection, ""))
    if health.why:
        yield field("because", health.why)
    if health.hint:
        yield field("what to do", health.hint)
    listener = found.listener
    if listener and listener.loaded == found.loaded and listener.since:
        yield field("since", _when(listener.since))
    yield from _image(found)
    if listener is None:
        yield field("kdumphpd", found.absence)
        return
    says = "" if health.why else f": {listener.status}"
    yield field("kdumphpd", f"running since {_when(listener.started)}{says}")
    yield from _open(listener, health.why)
    yield from _done(listener)


def _image(found: Facts) -> Iterable[Line]:
    if found.fadump and found.fadump.enabled:
        yield field("fadump", "registered" if found.fadump.registered else "enabled, not registered")
    elif found.loaded is not None:
        yield field("kdump image", f"loaded {_by(found)}" if found.loaded else "not loaded")
    if found.loaded:
        for subsystem in Subsystem:
            yield field("CPUs" if subsystem is Subsystem.CPU else "memory", _by_kernel(found, subsystem))


def _by(found: Facts) -> str:
    """How the image was loaded and by whom."""
    load = found.last_load
    if load is None:
        return "(by whom is not known: no check has been recorded yet)"
    if not load.method:
        return "by the distribution, or by hand"
    return f"by kdumphpd with {load.method}"


def _by_kernel(found: Facts, subsystem: Subsystem) -> str:
    """Who keeps the image up to date when something changes, as far as that is known."""
    if found.fadump and found.fadump.enabled:
        if subsystem is Subsystem.CPU:
            return "the firmware's business"
        if found.fadump.hotplug_ready:
            return "needs no new registration"
        return "kdumphpd registers fadump again" if found.listener else "fadump has to be registered again"
    if found.describes_itself:
        return found.describes_itself
    if not found.updates.get(subsystem):
        return f"this kernel updates no image{reloads(found)}"
    if found.last_load is None:
        return "this kernel can update an image; whether this one is not known yet"
    if found.last_load.kernel_updates:
        return "the kernel updates the image by itself"
    return f"this kernel can update an image, but may not touch this one{reloads(found)}"


def reloads(found: Facts) -> str:
    """What follows from that: who reloads the image, as far as that is known."""
    if found.limits.refusal:
        return ", and loads none any more"
    return "; kdumphpd reloads it" if found.listener else ""


def _open(listener: State, said: str) -> Iterable[Line]:
    """What is not finished. `said`: what stands above already."""
    if listener.pending:
        yield field("pending", "a reload has begun and not ended with an image")
    if listener.deferred_until:
        yield field("deferred", f"a reload, until {_when(listener.deferred_until)}")
    if listener.burst:
        yield field("burst", "uevents have arrived that are not handled yet")
    if listener.asking:
        yield field("asking", "the helper is at work")
    if listener.failure and listener.failure not in said:
        yield field("failure", listener.failure)
    if not listener.receiving:
        yield field("uevents", "not received: the socket cannot be opened")


def _done(listener: State) -> Iterable[Line]:
    """The last of everything, and totals since the listener's start. What has failed stands above."""
    if check := listener.last_check:
        detail = "" if listener.failure and check.detail == listener.failure else check.detail
        yield field("last check", f"{_when(check.when)}: {check.outcome}{f' ({detail})' if detail else ''}")
    if burst := listener.last_burst:
        stale = f" (stale for {burst.stale:.1f} s)" if burst.stale else ""
        failure = f": {listener.failure}"
        sentence = burst.sentence.replace(failure, " (see above)") if listener.failure else burst.sentence
        yield field("last burst", f"{_when(burst.ended)}: {sentence}{stale}")
    synthetic, overflows = listener.synthetic, count(listener.overflows, "overflow")
    yield field("totals", f"{count(listener.events, 'uevent')} ({synthetic} synthetic besides, {overflows})")
    handled, answered = count(listener.bursts, "burst"), count(listener.checks, "request")
    yield field("", f"{handled} handled, {answered} answered, {listener.failures} failed")
    yield field("", f"{count(listener.reloads, 'reload')}, unprotected for {listener.unprotected:.1f} s in all")


def _when(seconds: float) -> str:
    return moment(seconds, zone="%z")
