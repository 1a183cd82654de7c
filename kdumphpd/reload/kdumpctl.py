# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading as Fedora's and RHEL's kdumpctl does: unload, then load.

kdumpctl takes its own lock, /run/lock/kdump, and waits for it, so it must not be held around it. And it has to run
outside of our sandbox: where /boot is not writable it takes the initrd from elsewhere, where there mostly is none.
"""

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kdumphpd.config import Config
from kdumphpd.reload.run import APART, TAIL, LoadFailed, run, run_apart, when_free
from kdumphpd.reload.way import Method, Way

UNITS: tuple[str, ...] = ("kdump.service", APART)
KDUMPCTL = "/usr/bin/kdumpctl"
SETTINGS = "etc/sysconfig/kdump"
SCRIPT_TIMEOUT = 10.0  # seconds

# Where the kernel is, and the initrd beside it or, on a read-only /boot, in kdumpctl's own folder.
BOOT = Path("/boot")
INITRD_FOLDERS = (BOOT, Path("/var/lib/kdump"))

# What kexec says while it loads is redirected there, between the lines of a shell's trace.
LOG = "var/log/kdump.log"
TRACE = "+ "


def is_installed(root: Path, config: Config) -> bool:
    return (root / KDUMPCTL.lstrip("/")).exists()


def ways(root: Path, config: Config) -> list[Way]:
    kernel, initrd = image_files(root)
    return [Way("kdumpctl reload", Method.OWN, partial(reload, root), kernel=kernel, initrd=initrd)]


@contextlib.contextmanager
def lock(root: Path, config: Config) -> Iterator[None]:
    """Held, kdumpctl would wait for us for ever."""
    yield


def reload(root: Path, timeout: float) -> None:
    """Unload and load; kdumpctl sees to fadump too. Raises LoadFailed."""
    when_free(partial(_reload, root), timeout)


def _reload(root: Path, timeout: float) -> None:
    log = root / LOG
    begin = log.stat().st_size if log.exists() else 0
    try:
        run_apart([KDUMPCTL, "reload"], timeout)
    except LoadFailed as error:
        if words := said_since(log, begin):
            raise LoadFailed(f"{error}; /{LOG} says: {words}") from error
        raise


def said_since(log: Path, begin: int) -> str:
    """The last words in a log after `begin` bytes, without the shell's trace."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(begin if begin <= size else 0, size - TAIL))  # shorter than before: it was rotated
            text = file.read(TAIL).decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(line for line in text.splitlines() if not line.startswith(TRACE)).strip()


def image_files(root: Path) -> tuple[Path | None, Path | None]:
    """What kdumpctl loads, as far as it is where it usually is; None for what is not."""
    version = kernel_version(root)
    kernels = [BOOT / f"vmlinuz-{version}"]
    initrds = [folder / f"initramfs-{version}kdump.img" for folder in INITRD_FOLDERS]
    return _existing(root, kernels), _existing(root, initrds)


def _existing(root: Path, paths: list[Path]) -> Path | None:
    return next((path for path in paths if (root / path.relative_to("/")).exists()), None)


def kernel_version(root: Path) -> str:
    """KDUMP_KERNELVER of kdumpctl's settings, which are a shell script of root's, else the running kernel's."""
    settings = root / SETTINGS
    if settings.exists():
        script = '. "$1" && printf %s "$KDUMP_KERNELVER"'
        with contextlib.suppress(LoadFailed):  # what kdumpctl makes of it, it will say itself
            if version := run(["/bin/sh", "-c", script, "sh", str(settings)], SCRIPT_TIMEOUT):
                return version
    return os.uname().release
