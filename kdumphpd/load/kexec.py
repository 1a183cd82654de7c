# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading with kexec itself: a known command, run straight over the old image, with no unload before it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kdumphpd import journal
from kdumphpd.config import SyscallChoice
from kdumphpd.kernel import crash_hotplug
from kdumphpd.kernel.limits import Limits
from kdumphpd.kernel.loaded import elfcorehdr_is_sized
from kdumphpd.load.command import KEXEC, KexecCommand
from kdumphpd.load.method import Kind, Method
from kdumphpd.load.run import CommandFailed, LoadFailed, run, run_when_free

log = journal.logger()

HELP_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True)
class Abilities:
    """What kernel and kexec can do here."""

    kernel_updates: bool  # there is a crash_hotplug attribute
    hotplug_option: bool  # kexec knows --hotplug, and the kernel the size of elfcorehdr that it has to leave room for


def abilities(root: Path) -> Abilities:
    """Probe. Raises LoadFailed where there is no kexec."""
    return Abilities(
        kernel_updates=crash_hotplug.is_known(root),
        hotplug_option=elfcorehdr_is_sized(root) and "--hotplug" in run([KEXEC, "--help"], HELP_TIMEOUT),
    )


def knows(root: Path, option: str) -> bool:
    """Whether the kexec of this machine has an option ("--hotplug"), or that can't be told; empty: no."""
    try:
        said = run([str(root / KEXEC.lstrip("/")), "--help"], HELP_TIMEOUT) if option else ""
    except LoadFailed:
        return True
    return bool(option and re.search(rf"(?<![-\w]){re.escape(option)}(?![-\w])", said))


def methods(
    command: KexecCommand, choice: SyscallChoice, able: Abilities, limits: Limits, append: str = ""
) -> list[Method]:
    """The ways to run a `kexec -p` command, the best first. `append` goes to the capture kernel's command line.

    kexec_load leaves the machine without an image for a tenth of the time: kexec has read, laid out and hashed
    everything before it calls. So it comes first, unless kexec_file_load alone leaves an image that the kernel
    updates from then on, which spares every reload to come.
    """

    def method(kind: Kind, syscall: str, *, hotplug: bool, updatable: bool) -> Method:
        return Method(
            kind=kind,
            name=" ".join(["kexec", syscall, *(["--hotplug"] if hotplug else [])]),
            load=partial(load, command.argv(syscall, hotplug=hotplug, append=append)),
            updatable=updatable and able.kernel_updates,
            kernel=command.kernel,
            initrd=command.initrd,
        )

    by_load = method(Kind.KEXEC_LOAD, "-c", hotplug=able.hotplug_option, updatable=able.hotplug_option)
    by_file = method(Kind.KEXEC_FILE_LOAD, "-s", hotplug=False, updatable=True)
    match choice:
        case SyscallChoice.LOAD:
            return [by_load]
        case SyscallChoice.FILE:
            return [by_file]
    if limits.locked_down:
        return [by_file]
    both = sorted((by_load, by_file), key=lambda method: not method.updatable)
    return both[:1] if limits.calls == 1 else both


def load(argv: Sequence[str], limit: float) -> None:
    """Run kexec when the kernel's lock is free. Raises LoadFailed."""
    try:
        run_when_free(argv, limit)
    except CommandFailed as error:
        if error.status >= 0:
            raise
        # Killed, for want of memory perhaps, and maybe with the old image gone: nothing is wrong with this method,
        # and every other one leaves the machine without an image for longer.
        log.warning(f"{error}; trying again")
        run_when_free(argv, limit)
