# SPDX-License-Identifier: GPL-2.0-or-later
"""Registering firmware-assisted dump (PowerPC) again: there is no image, firmware keeps what it is told of memory.

Source: Documentation/arch/powerpc/firmware-assisted-dump.rst. The distributions' scripts end in the same two writes.
"""

from functools import partial
from pathlib import Path

from kdumphpd.kernel.fadump import REGISTERED, is_enabled, read_fadump
from kdumphpd.load.method import Kind, Method
from kdumphpd.load.run import LoadFailed


def method(root: Path) -> Method:
    """Raises LoadFailed."""
    path = _attribute(root)
    if path is None or not is_enabled(root):
        raise LoadFailed('fadump is not enabled in this kernel: boot it with fadump=on, or set loader = "auto"')
    return Method(Kind.FADUMP, "fadump", partial(register, root, path))


def _attribute(root: Path) -> Path | None:
    return next((path for name in REGISTERED if (path := root / name).exists()), None)


def register(root: Path, path: Path, _limit: float) -> None:
    """Tell firmware of the memory there is now. Raises LoadFailed."""
    try:
        # All kernels refuse to unregister what is not registered, and those before "powerpc/fadump: re-register
        # firmware-assisted dump if already registered" to register what is.
        if read_fadump(root).registered:
            _write(path, b"0")
        _write(path, b"1")
    except OSError as error:
        raise LoadFailed(
            f"fadump could not be registered again: writing {path} failed with {error.strerror or error}; "
            "the kernel's reason is in `journalctl -k -g fadump`"
        ) from error


def unregister(root: Path) -> None:
    """Take it back, where it is registered. Raises LoadFailed."""
    path = _attribute(root)
    try:
        if path is not None and read_fadump(root).registered:
            _write(path, b"0")
    except OSError as error:
        raise LoadFailed(f"fadump could not be unregistered: {error.strerror or error}") from error


def _write(path: Path, digit: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(digit)
