# SPDX-License-Identifier: GPL-2.0-or-later
"""/run/kdumphpd/state.json: what the listener has seen and done, for kdumphpctl and whoever else looks."""

import dataclasses
import json
from pathlib import Path

from pydantic import ValidationError
from pydantic.dataclasses import dataclass

STATE = "run/kdumphpd/state.json"
MAX_STATE = 1 << 20  # bytes


class StateError(Exception):
    """There is no state to be had; the message says why."""


@dataclass(frozen=True)
class LastStorm:
    """The last answered storm. Times in seconds; `ended` since the epoch."""

    ended: float
    sentence: str
    events: int
    action: str  # policy.Action of the listener
    reason: str  # policy.Reason of the listener
    outcome: str  # protocol.Outcome, empty where root's part was not needed
    seconds: float
    unprotected: float
    stale: float  # from the first event until the image was right again, or was found right


@dataclass
class State:
    """Counters since the start of the listener, and how things stand. The listener writes on it as it goes."""

    started: float  # seconds since the epoch
    status: str  # the sentence of STATUS=
    healthy: bool  # False: the image is wrong or missing, and not by the operator's wish
    receive_buffer: int  # bytes
    pending: bool = False  # events have come that are not answered yet
    events: int = 0  # of cpu and memory, the synthetic ones apart
    synthetic: int = 0
    overflows: int = 0  # and other failures of the uevent socket
    storms: int = 0
    reloads: int = 0
    failures: int = 0
    unprotected: float = 0.0  # seconds without an image in all our reloads
    last: LastStorm | None = None


def write(root: Path, state: State) -> None:
    """Replace the state file in one step. Raises OSError."""
    path = root / STATE
    new = path.with_suffix(".new")
    new.write_text(json.dumps(dataclasses.asdict(state), indent=1) + "\n")
    new.replace(path)


def read(root: Path) -> State:
    """The listener's last state. Raises StateError."""
    path = root / STATE
    try:
        with path.open("rb") as file:
            return State(**json.loads(file.read(MAX_STATE)))
    except FileNotFoundError as error:
        raise StateError(f"{path} is missing: kdumphpd is not running") from error
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, ArithmeticError, RecursionError, ValidationError) as error:
        raise StateError(f"{path} is not a state of this kdumphpd") from error
