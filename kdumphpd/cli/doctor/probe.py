# SPDX-License-Identifier: GPL-2.0-or-later
"""What the checks look at: files below a root, and what commands say. Nothing here changes anything."""

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from kdumphpd.cli.facts import Facts
from kdumphpd.sysfs import MAX_ATTRIBUTE

LIMIT = 60.0  # seconds for one command
MAX_FILE = 4 << 20  # bytes


class Family(StrEnum):
    """Whose kdump is installed."""

    DEBIAN = "kdump-tools"
    FEDORA = "kdumpctl"
    SUSE = "load.sh"
    NONE = "none"


PROGRAMS = {
    Family.DEBIAN: "usr/sbin/kdump-config",
    Family.FEDORA: "usr/bin/kdumpctl",
    Family.SUSE: "usr/lib/kdump/load.sh",
}


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended. `text` is the standard output, and the errors after it."""

    status: int
    text: str


Run = Callable[[Sequence[str]], Said | None]


@dataclass(frozen=True)
class Probe:
    """One machine. `facts` have systemd's word on the units, where it answers."""

    root: Path
    facts: Facts
    is_root: bool
    machine: str  # uname -m
    release: str  # uname -r
    execute: Run = field(repr=False)

    def text(self, path: str) -> str | None:
        """What a small file says, without white space around it; None where it is absent or can't be read."""
        try:
            fd = os.open(self.root / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as file:
                return file.read(MAX_FILE).decode("utf-8", "replace").strip()
        except OSError:
            return None

    def exists(self, path: str) -> bool:
        return (self.root / path).exists()

    def glob(self, pattern: str) -> list[Path]:
        """The paths that match, sorted; none where a folder can't be read."""
        try:
            return sorted(self.root.glob(pattern))
        except OSError:
            return []

    def run(self, *command: str) -> Said | None:
        """What a command says; None where it is not installed or does not end."""
        return self.execute(command)

    @property
    def family(self) -> Family:
        return next((family for family, path in PROGRAMS.items() if self.exists(path)), Family.NONE)


def run(command: Sequence[str]) -> Said | None:
    """Run it here, in the C locale, without input."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT,
            env={"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Said(done.returncode, (done.stdout + done.stderr)[:MAX_ATTRIBUTE].decode("utf-8", "replace"))
