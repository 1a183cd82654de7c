# SPDX-License-Identifier: GPL-2.0-or-later
"""build/vm/results.json: what every scenario measured on every guest, the latest run of each."""

import fcntl
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass
class Result:
    """One scenario on one guest. The scenario fills in what it measured; `passed` is pytest's verdict."""

    name: str
    guest: str
    kernel: str
    arch: str
    load: str = ""
    """How the image was loaded: the kexec arguments, or the loader's name."""
    events: int = 0
    reloads: int = 0
    unprotected_ms: float = 0.0
    """How long no image was loaded, in milliseconds."""
    stale_ms: float = 0.0
    """How long the loaded image did not describe the machine, in milliseconds."""
    verdict: str = ""
    passed: bool = False
    ran: bool = True
    """False where the guest was missing (missing.py); `verdict` has the reason."""


def name(test: str) -> str:
    """A scenario's name by that of its function."""
    return test.removeprefix("test_").replace("_", "-")


def merge(path: Path, results: list[Result]) -> None:
    """Put `results` into the JSON list at `path`, in place of the same scenarios' on the same guests.

    Several processes may at once; a reader sees the old list or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        merged = {_key(row): row for row in (*rows, *map(asdict, results))}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps([merged[key] for key in sorted(merged)], indent=1) + "\n")
        partial.replace(path)


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["name"], row["guest"]
