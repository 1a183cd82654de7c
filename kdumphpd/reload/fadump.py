# SPDX-License-Identifier: GPL-2.0-or-later
"""Registering firmware-assisted dump (PowerPC) anew: there is no image, firmware keeps what it is told of memory.

Source: Documentation/arch/powerpc/firmware-assisted-dump.rst. The distributions' scripts end in the same two writes.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kdumphpd.config import Config
from kdumphpd.kernel.fadump import REGISTERED, read_fadump
from kdumphpd.reload.run import LoadFailed
from kdumphpd.reload.way import Method, Way

# Whichever of them is there registers fadump at boot.
UNITS: tuple[str, ...] = ("kdump.service", "kdump-early.service", "kdump-tools.service")


def is_installed(root: Path, config: Config) -> bool:
    """Whether the kernel was booted with it; then it owns the reserved memory, and nothing else can be loaded."""
    try:
        return read_fadump(root).enabled
    except OSError:
        return False


def ways(root: Path, config: Config) -> list[Way]:
    """Raises LoadFailed."""
    path = next((path for name in REGISTERED if (path := root / name).exists()), None)
    if path is None or not is_installed(root, config):
        raise LoadFailed('fadump is not enabled in this kernel: boot it with fadump=on, or set loader = "auto"')
    return [Way("fadump", Method.OWN, partial(register, root, path))]


@contextlib.contextmanager
def lock(root: Path, config: Config) -> Iterator[None]:
    """The kernel's own is enough: each write is done when it returns."""
    yield


def register(root: Path, path: Path, timeout: float) -> None:
    """Tell firmware of the memory there is now. Raises LoadFailed."""
    try:
        # All kernels refuse to unregister what is not registered, and those before "powerpc/fadump: re-register
        # firmware-assisted dump if already registered" to register what is.
        if read_fadump(root).registered:
            _write(path, b"0")
        _write(path, b"1")
    except OSError as error:
        raise LoadFailed(
            f"fadump could not be registered anew: writing {path} failed with {error.strerror or error}; "
            "the kernel's reason is in `journalctl -k -g fadump`"
        ) from error


def _write(path: Path, digit: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(digit)
