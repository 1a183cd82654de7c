# SPDX-License-Identifier: GPL-2.0-or-later
"""Say what happens on this machine when a CPU or memory is added or removed, and why.

Exit status: 0 the image stays right, or is put right, whatever is added or removed; 1 it does not, for something is
wrong, or the kernel loads no image any more; 3 no image is loaded, and so nothing happens; 4 that can't be told, or
kdumphpd does not run.
"""

import argparse
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from kdumphpd.cli import exits, facts
from kdumphpd.cli.facts import Facts
from kdumphpd.cli.health import judge
from kdumphpd.cli.output import Line, field, show
from kdumphpd.kernel.crash_hotplug import Subsystem

LABEL = 16  # columns


@dataclass(frozen=True, slots=True)
class Event:
    """Something that an operator or a hypervisor does, and what follows."""

    name: str
    subsystem: Subsystem
    removed: bool


EVENTS = (
    Event("CPU added", Subsystem.CPU, removed=False),
    Event("CPU removed", Subsystem.CPU, removed=True),
    Event("memory added", Subsystem.MEMORY, removed=False),
    Event("memory removed", Subsystem.MEMORY, removed=True),
)


@dataclass(frozen=True, slots=True)
class Consequence:
    """What follows from one event."""

    event: str
    then: str
    because: str
    unprotected: bool  # the machine is without an image for a moment
    goes_wrong: bool = False  # the image is out of date from then on


def run(options: argparse.Namespace, root: Path) -> int:
    found = facts.read(root)
    health = judge(found)
    answers = [explain(found, event) for event in EVENTS]
    show(options, {"why": health.why, "events": [asdict(answer) for answer in answers]}, lines(health.why, answers))
    if health.exit == exits.ARMED and any(answer.goes_wrong for answer in answers):
        return exits.WRONG
    return health.exit


def lines(why: str, answers: Iterable[Consequence]) -> Iterable[Line]:
    if why:
        yield field("now", why, width=LABEL)
    for answer in answers:
        yield field(answer.event, answer.then, width=LABEL)
        yield field("", f"because {answer.because}", width=LABEL)


def explain(found: Facts, event: Event) -> Consequence:
    """What follows from `event`. Pure."""
    if not found.loaded:
        then, because, unprotected = _without_an_image(found)
    elif found.by_fadump:
        then, because, unprotected = _of_fadump(found, event)
    else:
        then, because, unprotected = _of_an_image(found, event)
    if unprotected and (obstacle := _obstacle(found, event)):
        then, because = obstacle
        return Consequence(event.name, then, because, unprotected=False, goes_wrong=True)
    return Consequence(event.name, then, because, unprotected)


def _obstacle(found: Facts, event: Event) -> tuple[str, str] | None:
    """What follows instead where nobody can load the image, or nobody notices; None where nothing is in the way."""
    if found.limits.refusal and not found.by_fadump:
        by_kernel = found.updates.get(event.subsystem) and (not found.last_load or found.last_load.kernel_updates)
        return (
            f"the image is out of date from then on{', unless the kernel updates it' if by_kernel else ''}",
            found.limits.refusal,
        )
    if found.listener is not None and not found.listener.receiving:
        return "kdumphpd does not notice before it checks the image for another reason", "it receives no uevents"
    return None


def _without_an_image(found: Facts) -> tuple[str, str, bool]:
    if found.loaded is None:
        return "that can't be told", found.problem, False
    if not found.last_load or not found.last_load.pending:
        if found.by_fadump:
            return "nothing", "fadump is not registered, and kdumphpd registers none that it did not take back", False
        return "nothing", "no image is loaded, and kdumphpd loads none that it did not take down", False
    if found.limits.refusal and not found.by_fadump:
        return "nothing", f"kdumphpd has taken the image down and can't load another: {found.limits.refusal}", False
    because = (
        "kdumphpd has taken the image down and is to load another, which will describe the machine as it is then"
    )
    return "nothing more", because, False


def _of_fadump(found: Facts, event: Event) -> tuple[str, str, bool]:
    if event.subsystem is Subsystem.CPU:
        return "nothing", "with fadump CPUs are the firmware's business", False
    if found.fadump and found.fadump.hotplug_ready:
        return "nothing", "fadump's capture kernel finds the memory by itself (hotplug_ready)", False
    if found.listener is None:
        return _without_kdumphpd(found, "registers fadump again")
    return "kdumphpd registers fadump again", "this kernel's fadump does not follow memory (no hotplug_ready)", True


def _without_kdumphpd(found: Facts, does: str) -> tuple[str, str, bool]:
    if found.runs:
        return "that can't be told", found.absence, False
    return f"the distribution's udev rule {does}, if there is one and it works", "kdumphpd does not run", True


def _of_an_image(found: Facts, event: Event) -> tuple[str, str, bool]:
    if found.describes_itself:
        return "nothing", found.describes_itself, False
    if found.listener is None:
        return _without_kdumphpd(found, "reloads the image")
    by_kernel = bool(found.last_load and found.last_load.kernel_updates and found.updates.get(event.subsystem))
    if by_kernel and event.subsystem is Subsystem.MEMORY and event.removed and found.machine == "x86_64":
        return (
            "the kernel updates the image, kdumphpd reads it, and reloads it if the memory is still in it",
            "on x86 the kernel may leave memory in the image that is gone with its DIMM",
            True,
        )
    if by_kernel:
        return (
            "the kernel updates the image; kdumphpd reads it, and does nothing if it is right",
            "crash_hotplug is there, and this image may be updated",
            False,
        )
    if event.removed and event.subsystem is Subsystem.CPU:
        then = "kdumphpd reads the image, and leaves it as it is"
        return then, "a CPU that is gone does no harm in an image", False
    then = "kdumphpd reloads the image once the burst has settled"
    if not found.updates.get(event.subsystem):
        return then, "this kernel updates no image (no crash_hotplug attribute)", True
    if found.last_load is None:
        return (
            f"{then}, unless the kernel has updated it",
            "whether the kernel may update this image is not known yet",
            True,
        )
    how = "kexec_load without --hotplug, or by an old kexec-tools"
    return then, f"the kernel may not touch this image, which was loaded with {how}", True
