# SPDX-License-Identifier: GPL-2.0-or-later
"""Who knows what is to be loaded: one small module a family, all of one form."""

from dataclasses import dataclass
from pathlib import Path

from kdumphpd.load.recording import Recipe


@dataclass(frozen=True)
class Loader:
    """A distribution's loader. Commands are program and arguments, without a shell."""

    program: str  # it is installed where this exists
    units: tuple[str, ...]  # they load and unload too; one that is at it is waited for
    recipe: Recipe  # how it says what it would load, with a recording kexec in kexec's place
    reload: tuple[str, ...]  # its own way to put a new image in the old one's place
    load: tuple[str, ...]  # the same where none is loaded
    unload: tuple[str, ...]
    log: str = ""  # where it redirects what kexec says, below the root


def is_installed(root: Path, loader: Loader) -> bool:
    return (root / loader.program.lstrip("/")).exists()


def is_in_use(root: Path, loader: Loader) -> bool:
    """Whether systemd starts one of its units at boot, or one is active.

    `systemctl enable` makes a link of a unit's name, and systemd one with the invocation of every unit that is
    active. A loader that is only installed says nothing about the image that is loaded.
    """
    return any(
        any((folder / unit).is_symlink() for folder in (root / "etc/systemd/system").glob("*.wants"))
        or (root / f"run/systemd/units/invocation:{unit}").is_symlink()
        for unit in loader.units
    )
