# SPDX-License-Identifier: GPL-2.0-or-later
"""Has this machine ever shown that a dump works? The last one that lies in /var/crash."""

import re
import stat
import time
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from kdumphpd.cli.doctor.finding import Finding, for_root, ok, warning
from kdumphpd.cli.doctor.probe import Probe

NAME = "last dump"
FOLDER = "var/crash"

# kdump-tools: 202611261530; kdump-utils: 127.0.0.1-2026-11-26-15:30:00; kdump: 2026-11-26-15:30.
DATED = re.compile(r"\d{12}|.*\d{4}-\d\d-\d\d-\d\d:\d\d(:\d\d)?")
WHOLE = ("dump.*", "vmcore", "vmcore.*")
PARTIAL = ("dump-incomplete*", "*-incomplete")

MEANS = "unless dumps are saved elsewhere, nobody has seen one of this machine yet"
TEST = "on a machine that may go down, as root: echo c > /proc/sysrq-trigger"


def check(probe: Probe) -> Iterable[Finding]:
    path = Path(f"/{FOLDER}")
    try:
        named = [(_changed(folder), folder) for folder in probe.listed(FOLDER) if DATED.fullmatch(folder.name)]
        folders = [(seconds, folder) for seconds, folder in named if seconds is not None]
        if not folders:
            yield warning(NAME, f"/{FOLDER} has none", MEANS, TEST)
            return
        seconds, last = max(folders)
        path /= last.name
        files = [file.name for file in last.iterdir()]
    except PermissionError:
        yield for_root(NAME, f"what is in {path} is for root to see")
        return
    name = f"{path} of {time.strftime('%Y-%m-%d %H:%M', time.localtime(seconds))}"
    if _any(files, PARTIAL):
        yield warning(NAME, f"{name} is incomplete", "the capture kernel did not finish", "look at its dmesg")
    elif _any(files, WHOLE):
        yield ok(NAME, name)
    else:
        yield warning(NAME, f"{name} holds no dump", "saving it failed", "look at its dmesg")


def _changed(folder: Path) -> float | None:
    """When a folder was changed last, in seconds since the epoch; None for what is no folder."""
    try:
        status = folder.stat()
    except FileNotFoundError:  # a link to nothing, or removed meanwhile
        return None
    return status.st_mtime if stat.S_ISDIR(status.st_mode) else None


def _any(files: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(file, pattern) for file in files for pattern in patterns)
