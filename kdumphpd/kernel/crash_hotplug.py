# SPDX-License-Identifier: GPL-2.0-or-later
"""Does the kernel update the loaded image by itself when CPUs or memory are added or removed?

It says so in /sys/devices/system/{cpu,memory}/crash_hotplug (since commit 88a6f8994421, "crash: memory and
CPU hotplug sysfs attributes"). Reading it takes the kexec lock: a read can make a concurrent `kexec -p` fail
with EBUSY and can make the kernel skip an update, so it is read once a burst, after that has settled, and
never polled.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kdumphpd import journal
from kdumphpd.kernel.fadump import Fadump, read_fadump
from kdumphpd.kernel.loaded import image_loaded
from kdumphpd.sysfs import read_flag

log = journal.logger()

ATTRIBUTE = "sys/devices/system/{}/crash_hotplug"

# A `0` is also the answer while somebody holds the kexec lock; a load holds it for long on a slow machine.
SECOND_READ_PAUSE = 0.5  # seconds


class Subsystem(StrEnum):
    """The two subsystems whose hotplug makes a kdump image out of date."""

    CPU = "cpu"
    MEMORY = "memory"


class Answer(StrEnum):
    """The kernel's answer for one subsystem."""

    YES = "yes"
    NO = "no"  # no image, or one that the kernel may not touch
    UNSUPPORTED = "unsupported"  # no such attribute: this kernel never updates an image
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Capability:
    """What the kernel reports at one moment."""

    loaded: bool
    cpu: Answer
    memory: Answer

    @property
    def updates(self) -> bool:
        """Whether the kernel says that it keeps the image current, whichever of the two is added or removed."""
        return self.cpu is self.memory is Answer.YES


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


def read_answer(root: Path, subsystem: Subsystem) -> Answer:
    """One read of one attribute."""
    try:
        flag = read_flag(root, ATTRIBUTE.format(subsystem))
    except OSError as error:
        log.warning(f"cannot read whether the kernel updates the kdump image: {error}")
        return Answer.UNREADABLE
    if flag is None:
        return Answer.UNSUPPORTED
    return Answer.YES if flag else Answer.NO


def is_known(root: Path) -> bool:
    """Whether this kernel updates images at all. Takes no lock: the attributes are looked for, not read."""
    return any((root / ATTRIBUTE.format(subsystem)).exists() for subsystem in Subsystem)


def read_capability(root: Path, *, settled: bool = True, sleep: Callable[[float], None] = time.sleep) -> Capability:
    """What the kernel reports of the loaded image. `settled` False: events still arrive, and nothing is read.

    A `0` is ambiguous: no image, an image that may not be touched, or a busy lock. crash_loaded tells the first;
    what the image itself says, or else confirm(), the last. Raises OSError where the first can't be
    read.
    """
    fadump = read_fadump(root)
    if fadump.enabled:
        return _of_fadump(fadump)
    loaded = image_loaded(root, sleep)
    if not loaded:
        return Capability(loaded=False, cpu=Answer.NO, memory=Answer.NO)
    if not settled and is_known(root):
        return Capability(loaded=True, cpu=Answer.UNREADABLE, memory=Answer.UNREADABLE)
    return Capability(loaded, read_answer(root, Subsystem.CPU), read_answer(root, Subsystem.MEMORY))


def confirm(root: Path, capability: Capability, sleep: Callable[[float], None] = time.sleep) -> Capability:
    """The same after a second read, some time later, where an answer is a `0` that may mean a busy lock."""
    if not capability.loaded or Answer.NO not in (capability.cpu, capability.memory):
        return capability
    sleep(SECOND_READ_PAUSE)
    return read_capability(root, sleep=sleep)


def _of_fadump(fadump: Fadump) -> Capability:
    """fadump leaves CPUs to the firmware, and memory to its own capture kernel where it is hotplug_ready."""
    memory = Answer.YES if fadump.hotplug_ready else Answer.NO
    return Capability(loaded=fadump.registered, cpu=Answer.YES, memory=memory)
