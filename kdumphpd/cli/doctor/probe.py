# SPDX-License-Identifier: GPL-2.0-or-later
"""What the checks look at: files below a root, and what commands say. Nothing here changes anything."""

import itertools
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kdumphpd.cli.facts import Facts, Units
from kdumphpd.config import LoaderChoice

LIMIT = 60.0  # seconds for one command
CHUNK = 64 << 10  # bytes
MAX_TEXT = 4 << 20  # bytes of a file, or of what a command says


PROGRAMS = {
    LoaderChoice.KDUMP_TOOLS: "usr/sbin/kdump-config",
    LoaderChoice.KDUMPCTL: "usr/bin/kdumpctl",
    LoaderChoice.SUSE: "usr/lib/kdump/load.sh",
}


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended. `text` is the standard output, and the errors after it."""

    status: int
    text: str


Run = Callable[[Sequence[str]], Said | None]


@dataclass(frozen=True)
class Probe:
    """One machine."""

    root: Path
    facts: Facts
    is_root: bool
    release: str  # uname -r
    execute: Run = field(repr=False)

    def text(self, path: str) -> str | None:
        """What a small file says, without white space around it; None where it is absent.

        Raises OSError where it can't be read: that says nothing of what is in it.
        """
        try:
            fd = os.open(self.root / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        with os.fdopen(fd, "rb", buffering=0) as file:
            # /proc/sys allocates as much memory as it is asked for, and refuses where that is much.
            pieces = iter(lambda: file.read(CHUNK), b"")
            return b"".join(itertools.islice(pieces, MAX_TEXT // CHUNK)).decode("utf-8", "replace").strip()

    def exists(self, path: str) -> bool:
        return os.path.exists(self.root / path)  # noqa: PTH110 - Path.exists() raises where it may not look

    def listed(self, folder: str) -> list[Path]:
        """What is in a folder, sorted; nothing where it is absent. Raises OSError where it can't be read."""
        try:
            return sorted((self.root / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def run(self, *command: str) -> Said | None:
        """What a command says; None where it is not installed. Raises OSError where it does not run, or not end."""
        return self.execute(command)

    @property
    def units(self) -> Units | None:
        """systemd's word on the units; None where it does not answer, and links alone tell which of them run."""
        units = self.facts.units
        return units if units is not None and all("UnitFileState" in unit for unit in units.values()) else None

    @property
    def loader(self) -> LoaderChoice | None:
        """Whose kdump is installed."""
        return next((loader for loader, path in PROGRAMS.items() if self.exists(path)), None)


def run(command: Sequence[str]) -> Said | None:
    """Run it here, in the C locale, without input; None where it is not installed. Raises OSError."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT,
            env={"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            check=False,
        )
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{command[0]} did not end within {LIMIT:g} s") from error
    return Said(done.returncode, (done.stdout + done.stderr)[:MAX_TEXT].decode("utf-8", "replace"))
