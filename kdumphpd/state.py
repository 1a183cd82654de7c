# SPDX-License-Identifier: GPL-2.0-or-later
"""/run/kdumphpd/state.json: what the listener knows at this moment, for kdumphpctl and whoever else wants to see.

There is one place that holds it, the listener's State, and it is written whenever something in it changes: when a
burst begins, not when it has ended.
"""

import dataclasses
import json
import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kdumphpd import fields
from kdumphpd.runtime import CONDITION, STATE

MAX_STATE = 1 << 20  # bytes


class StateError(Exception):
    """There is no state to be had; the message says why."""


class Condition(StrEnum):
    """How things stand, in a word that changes only when that does."""

    CHECKING = "checking"  # the helper has not answered yet
    ARMED = "armed"
    WRONG = "wrong"  # an image is loaded, and `healthy` is False
    UNPROTECTED = "unprotected"  # none is loaded, and `healthy` is False
    NOT_LOADED = "not-loaded"  # none is loaded, and kdumphpd did not unload it


@dataclass(frozen=True)
class LastBurst:
    """The last burst that was handled. Times in seconds; `ended` since the epoch."""

    ended: float
    sentence: str
    events: int
    outcome: str  # a protocol.Outcome; empty where the helper gave none
    reason: str  # a protocol.Reason or empty
    seconds: float
    unprotected: float
    stale: float  # from the first event until the image was right again; 0 where it never was wrong


@dataclass(frozen=True)
class LastCheck:
    """The helper's last answer, whatever it was asked for. `when` in seconds since the epoch."""

    when: float
    outcome: str
    detail: str
    kernel_updates: bool
    method: str


@dataclass
class State:
    """How things stand, and counters since the start of the listener, which changes it as it goes."""

    started: float  # seconds since the epoch
    status: str  # the sentence of STATUS=
    healthy: bool  # False: the image is wrong or missing against the operator's wish, or nobody would notice
    receiving: bool = False  # the uevent socket is open
    receive_buffer: int = 0  # bytes
    loaded: bool | None = None  # an image is loaded; None: that can't be told
    condition: Condition = Condition.CHECKING
    since: float = 0.0  # seconds since the epoch: when the condition changed, as far as this listener has seen
    burst: bool = False  # events have arrived that are not handled yet
    asking: bool = False  # the helper is at work for us
    pending: bool = False  # a reload of ours took the image down and has not put one back
    deferred_until: float = 0.0  # seconds since the epoch; 0: no reload is deferred
    failure: str = ""  # why the last request failed; empty where it did not
    events: int = 0  # of CPUs and memory, the synthetic ones apart
    synthetic: int = 0
    overflows: int = 0  # and other failures of the uevent socket
    bursts: int = 0
    checks: int = 0
    reloads: int = 0
    failures: int = 0
    unprotected: float = 0.0  # seconds without an image in all our reloads
    last_check: LastCheck | None = None
    last_burst: LastBurst | None = None
    version: int = 1


def write(root: Path, state: State) -> None:
    """Replace the state file in one step. Raises OSError."""
    path = root / STATE
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(dataclasses.asdict(state), indent=1) + "\n")
    draft.replace(path)
    _announce(root / CONDITION, f"{state.condition}\n")


def _announce(path: Path, text: str) -> None:
    """Write the condition where it has changed: systemd watches the file (kdumphpd-check.path)."""
    try:
        if path.read_bytes() == text.encode():
            return
    except FileNotFoundError:
        pass
    path.write_text(text)


def read(root: Path) -> State:
    """The listener's last state. Raises StateError.

    The listener owns the folder: what lies there may be a FIFO, a link or anything that a listener could write.
    """
    path = root / STATE
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise StateError(f"{path} is not a regular file")
            return fields.parse(State, file.read(MAX_STATE))
    except FileNotFoundError as error:
        raise StateError(f"{path} is missing: kdumphpd is not running") from error
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise StateError(f"{path} is not a state of this kdumphpd: {error}") from error
