# SPDX-License-Identifier: GPL-2.0-or-later
"""What a check of `kdumphpctl doctor` finds."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much it matters."""

    OK = "OK"
    WARNING = "warning"  # kdump works, and could work better, or will not for long
    FAILURE = "FAILURE"  # a panic leaves no dump, or not the whole of it
    SKIPPED = "skipped"  # it can't be told here


@dataclass(frozen=True, slots=True)
class Finding:
    """One precondition. `means`: what follows from it; `fix`: the command that mends it, or what else to do."""

    level: Level
    name: str
    found: str
    means: str = ""
    fix: str = ""


def ok(name: str, found: str) -> Finding:
    return Finding(Level.OK, name, found)


def warning(name: str, found: str, means: str, fix: str = "") -> Finding:
    return Finding(Level.WARNING, name, found, means, fix)


def failure(name: str, found: str, means: str, fix: str = "") -> Finding:
    return Finding(Level.FAILURE, name, found, means, fix)


def skipped(name: str, found: str, fix: str = "") -> Finding:
    return Finding(Level.SKIPPED, name, found, fix=fix)


def untold(name: str, found: str, *, is_root: bool) -> Finding:
    """What could not be told, to somebody who may not see all."""
    return skipped(name, found) if is_root else for_root(name, found)


def for_root(name: str, found: str) -> Finding:
    """What cannot be told to whoever asks."""
    return skipped(name, found, "run it as root")
