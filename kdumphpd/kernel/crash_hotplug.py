# SPDX-License-Identifier: GPL-2.0-or-later
"""Will the kernel update the loaded image by itself when CPUs or memory come and go?

It says so in /sys/devices/system/{cpu,memory}/crash_hotplug (since commit 88a6f8994421, "crash: memory and
CPU hotplug sysfs attributes"). Reading it takes the kexec lock: a read can make a concurrent `kexec -p` fail
with EBUSY and can make the kernel skip an update, so it is read once a storm and never polled.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kdumphpd.kernel.fadump import Fadump, read_fadump
from kdumphpd.kernel.files import read_flag
from kdumphpd.kernel.loaded import image_loaded
from kdumphpd.storm import Subsystem

ATTRIBUTE = "sys/devices/system/{}/crash_hotplug"

# A `0` is also the answer while somebody holds the kexec lock; a load holds it for long on a slow machine.
SECOND_READ_PAUSE = 0.5  # seconds


class Answer(StrEnum):
    """The kernel's answer for one subsystem."""

    YES = "yes"
    NO = "no"  # no image, or one that the kernel may not touch
    UNSUPPORTED = "unsupported"  # no such attribute: this kernel never updates an image
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Capability:
    """One look at the shim's inputs."""

    loaded: bool
    cpu: Answer
    memory: Answer
    detail: str = ""  # what the system answered where something was unreadable

    def covers(self, touched: Iterable[Subsystem]) -> bool:
        """Whether the kernel says that it keeps the image current for all of these subsystems."""
        return all(self.answer(subsystem) is Answer.YES for subsystem in touched)

    def answer(self, subsystem: Subsystem) -> Answer:
        return self.cpu if subsystem is Subsystem.CPU else self.memory


def powerpc_series_rule(*, file_mode: bool, update_elfcorehdr: bool, update_fdt: bool) -> bool:
    """Whether an image may be updated, by the original PowerPC series.

    arch_crash_hotplug_cpu_support() of "powerpc: add crash CPU hotplug support" (v13, December 2023): loaded
    with kexec_file_load, or with kexec_load and both KEXEC_UPDATE_ELFCOREHDR and KEXEC_UPDATE_FDT. x86 of 6.6
    to 6.9 asks for the first alone; an FDT that does not exist has nothing to forbid, so pass True there.
    """
    return file_mode or (update_elfcorehdr and update_fdt)


def mainline_rule(*, file_mode: bool, hotplug_support: bool) -> bool:
    """Whether an image may be updated, by mainline since 6.10.

    arch_crash_hotplug_support() after commit 79365026f869 ("crash: add a new kexec flag for hotplug support"):
    one flag, KEXEC_CRASH_HOTPLUG_SUPPORT (0x8), kept as kimage.hotplug_support, stands for both permissions.
    """
    return file_mode or hotplug_support


def read_answer(root: Path, subsystem: Subsystem) -> tuple[Answer, str]:
    """One read of one attribute: the answer, and what the system said where it was unreadable."""
    try:
        flag = read_flag(root, ATTRIBUTE.format(subsystem))
    except OSError as error:
        return Answer.UNREADABLE, str(error)
    if flag is None:
        return Answer.UNSUPPORTED, ""
    return (Answer.YES if flag else Answer.NO), ""


def is_known(root: Path) -> bool:
    """Whether this kernel updates images at all. Takes no lock: the attributes are looked for, not read."""
    return any((root / ATTRIBUTE.format(subsystem)).exists() for subsystem in Subsystem)


def look(
    root: Path, touched: Iterable[Subsystem] = Subsystem, sleep: Callable[[float], None] = time.sleep
) -> Capability:
    """Ask the kernel about the subsystems in `touched`; the others stay at "unreadable", for nobody asked.

    A `0` is ambiguous: no image, an image that may not be touched, or a busy lock. crash_loaded tells the
    first, one later second read the last.
    """
    try:
        fadump = read_fadump(root)
        if fadump.enabled:
            return _of_fadump(fadump)
        loaded = image_loaded(root, sleep)
    except OSError as error:
        return Capability(loaded=True, cpu=Answer.UNREADABLE, memory=Answer.UNREADABLE, detail=str(error))
    answers = dict.fromkeys(Subsystem, (Answer.UNREADABLE, ""))
    asked = set(touched) if loaded else set()
    for subsystem in asked:
        answers[subsystem] = read_answer(root, subsystem)
    if again := [subsystem for subsystem in asked if answers[subsystem][0] is Answer.NO]:
        sleep(SECOND_READ_PAUSE)
        for subsystem in again:
            answers[subsystem] = read_answer(root, subsystem)
    return Capability(
        loaded=loaded,
        cpu=answers[Subsystem.CPU][0],
        memory=answers[Subsystem.MEMORY][0],
        detail="; ".join(filter(None, (detail for _, detail in answers.values()))),
    )


def _of_fadump(fadump: Fadump) -> Capability:
    """fadump leaves CPUs to the firmware, and memory to its own capture kernel where it is hotplug_ready."""
    memory = Answer.YES if fadump.hotplug_ready else Answer.NO
    return Capability(loaded=fadump.registered, cpu=Answer.YES, memory=memory)
