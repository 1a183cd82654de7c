# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading with kexec itself: straight over the old image, with no unload before it."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from kdumphpd.config import Config, SyscallChoice
from kdumphpd.kernel import crash_hotplug
from kdumphpd.kernel.files import read_attribute
from kdumphpd.kernel.loaded import elfcorehdr_is_sized
from kdumphpd.reload.run import CommandFailed, LoadFailed, run, run_when_free
from kdumphpd.reload.way import Method, Way

log = structlog.get_logger()

KEXEC = "/sbin/kexec"  # on both sides of the /usr merge
HELP_TIMEOUT = 10.0  # seconds

LOCKDOWN = "sys/kernel/security/lockdown"  # "none [integrity] confidentiality"

# Which syscall loads, and whether the kernel may update what it loaded: ours to say.
CHOICES = frozenset(
    {"-a", "--kexec-syscall-auto", "-c", "--kexec-syscall", "-s", "--kexec-file-syscall", "--hotplug"}
)

UNITS: tuple[str, ...] = ()


@dataclass(frozen=True)
class Abilities:
    """What kernel and kexec can do here."""

    kernel_updates: bool  # there is a crash_hotplug attribute
    hotplug_option: bool  # kexec knows --hotplug, and the kernel the size of elfcorehdr that it has to leave room for
    locked_down: bool  # only the file syscall is let through


def is_installed(root: Path, config: Config) -> bool:
    return bool(config.reload.kexec.kernel)


def ways(root: Path, config: Config) -> list[Way]:
    """Load what [reload.kexec] names. Raises LoadFailed."""
    settings = config.reload.kexec
    if not settings.kernel:
        raise LoadFailed('loader = "kexec" needs the capture kernel: set kernel in [reload.kexec]')
    argv = [KEXEC, "-p", f"--command-line={settings.command_line}"]
    if settings.initrd:
        argv.append(f"--initrd={settings.initrd}")
    return direct_ways([*argv, settings.kernel], config.reload.method, abilities(root))


@contextlib.contextmanager
def lock(root: Path, config: Config) -> Iterator[None]:
    """kexec has no lock but the kernel's."""
    yield


def abilities(root: Path) -> Abilities:
    """Probe. Raises LoadFailed where there is no kexec."""
    return Abilities(
        kernel_updates=crash_hotplug.is_known(root),
        hotplug_option=elfcorehdr_is_sized(root) and "--hotplug" in run([KEXEC, "--help"], HELP_TIMEOUT),
        locked_down=is_locked_down(root),
    )


def is_locked_down(root: Path) -> bool:
    """Whether the kernel says that it is. Where it does not say, its refusal of the other syscall touches nothing."""
    try:
        text = read_attribute(root, LOCKDOWN) or ""
    except OSError:
        return False
    return "[" in text and "[none]" not in text


def direct_ways(argv: Sequence[str], choice: SyscallChoice, able: Abilities) -> list[Way]:
    """The ways to run a `kexec -p` command, the best first.

    kexec_load leaves the machine without an image for a tenth of the time: kexec has read, laid out and hashed
    everything before it calls. So it comes first, unless the other one alone leaves an image that the kernel keeps
    current from then on, which spares every reload to come.
    """
    kept = [word for word in argv if word not in CHOICES]
    initrd = next((word.partition("=")[2] for word in argv if word.startswith(("--initrd=", "--ramdisk="))), "")

    def way(method: Method, *options: str, updatable: bool) -> Way:
        command = [kept[0], *options, *kept[1:]]
        return Way(
            name=" ".join(["kexec", *options]),
            method=method,
            load=partial(load, command),
            updatable=updatable and able.kernel_updates,
            kernel=Path(kept[-1]),
            initrd=Path(initrd) if initrd else None,
        )

    hotplug = ["--hotplug"] if able.hotplug_option else []
    by_load = way(Method.LOAD, "-c", *hotplug, updatable=able.hotplug_option)
    by_file = way(Method.FILE, "-s", updatable=True)
    match choice:
        case SyscallChoice.LOAD:
            return [by_load]
        case SyscallChoice.FILE:
            return [by_file]
    if able.locked_down:
        return [by_file]
    return sorted((by_load, by_file), key=lambda way: not way.updatable)


def load(argv: Sequence[str], timeout: float) -> None:
    """Run kexec when the kernel's lock is free. Raises LoadFailed."""
    try:
        run_when_free(argv, timeout)
    except CommandFailed as error:
        if error.status >= 0:
            raise
        # Killed, for want of memory perhaps, and maybe with the old image gone: nothing is wrong with this way, and
        # every other one leaves the machine without an image for longer.
        log.warning(f"{error}; trying again")
        run_when_free(argv, timeout)
