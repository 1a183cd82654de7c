# SPDX-License-Identifier: GPL-2.0-or-later
"""build/vm/missing.json: guests that `python -m tests.vm prepare` found no packages for, each with the reason.

Their scenarios are not run, and that is said: by pytest, in results.json and in the last line of a run.
guests.REQUIRED are never among them.
"""

import json
from collections.abc import Iterable, Mapping

from tests.vm.guests import GUESTS, REQUIRED
from tests.vm.payload import BUILD

FILE = BUILD / "missing.json"

OPTIONAL = tuple(name for name in GUESTS if name not in REQUIRED)
"""Guests that a run may do without."""


def read() -> dict[str, str]:
    """Why guests are missing, by their names."""
    return dict(json.loads(FILE.read_text())) if FILE.exists() else {}


def note(tried: Iterable[str], missing: Mapping[str, str]) -> None:
    """Replace what is known of the guests that were `tried`."""
    known = {name: reason for name, reason in read().items() if name not in set(tried)}
    FILE.parent.mkdir(parents=True, exist_ok=True)
    partial = FILE.with_suffix(".partial")
    partial.write_text(json.dumps(known | dict(missing), indent=1) + "\n")
    partial.replace(FILE)


def last_line(counts: Mapping[str, int], not_run: int, missing: Mapping[str, str]) -> str:
    """What a run comes to, by pytest's words for how tests end; `missing` are the guests of those `not_run`."""
    failed = counts.get("failed", 0) + counts.get("error", 0)
    line = f"{counts.get('passed', 0)} passed, {failed} failed, {not_run} not run"
    reasons = ", ".join(f"{name} ({reason})" for name, reason in sorted(missing.items()))
    return f"{line}: {reasons}" if reasons else line
