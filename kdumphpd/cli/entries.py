# SPDX-License-Identifier: GPL-2.0-or-later
"""Journal entries of the listener's, and systemd's of its death. Pure: lines of `journalctl -o json` in, entries out.

Whatever a line holds, there is an entry or none: the journal may be damaged, or another version's.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kdumphpd.cli.words import YEAR_10000
from kdumphpd.messages import MessageId

DIED = "98e322203f7a4ed290d09fe03c09fe15"  # sd-messages.h, SD_MESSAGE_UNIT_PROCESS_EXIT

DEBUG = 7
LONGEST = 1e9  # seconds; more than thirty years are no duration of ours

# One word for what an entry tells; those of a request's outcome are in WORDS.
KINDS: Mapping[str, str] = {
    MessageId.STARTED: "started",
    MessageId.STOPPED: "stopped",
    MessageId.STOPPED_UNFINISHED: "stopped",
    DIED: "died",
    MessageId.KERNEL_UPDATED: "updated",
    MessageId.IMAGE_CURRENT: "current",
    MessageId.RELOADED: "reloaded",
    MessageId.NOT_LOADED: "not loaded",
    MessageId.MISSING: "missing",
    MessageId.DEFERRED: "deferred",
    MessageId.RELOAD_FAILED: "failed",
    MessageId.UNSAFE: "unsafe",
    MessageId.STILL_STALE: "stale",
    MessageId.HELPER_UNAVAILABLE: "no answer",
    MessageId.EVENTS_LOST: "lost",
    MessageId.CONFIG_REFUSED: "refused",
    MessageId.CONFIG_RELOADED: "configured",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. Durations in seconds, `when` in seconds since the epoch; what it does not have is empty or 0."""

    when: float
    boot: str
    kind: str  # a word of KINDS
    priority: int
    sentence: str
    outcome: str = ""  # a protocol.Outcome
    reason: str = ""  # a protocol.Reason
    armed: bool | None = None  # an image was loaded then; None: it does not say
    method: str = ""
    seconds: float = 0.0  # that a reload took
    unprotected: float = 0.0
    events: int = 0
    duration: float = 0.0  # from the first to the last event
    elapsed: float = 0.0  # from the first event to this entry
    cpus: str = ""  # "add 2,4-7 remove 1"
    blocks: str = ""
    monotonic: float = 0.0  # seconds of its boot's monotonic clock; 0: the journal does not say


def entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    """The entries of JSON lines, in their order; what is none of ours, or damaged, is left out."""
    for line in lines:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict) and (entry := _entry(content)) is not None:
            yield entry


def _entry(content: Mapping[str, Any]) -> Entry | None:
    when = _number(content, "__REALTIME_TIMESTAMP", YEAR_10000 * 1e6) / 1e6
    kind = KINDS.get(_text(content, "MESSAGE_ID"))
    if not when or kind is None:
        return None
    armed = _text(content, "KDUMPHPD_ARMED")
    return Entry(
        when=when,
        boot=_text(content, "_BOOT_ID"),
        kind=kind,
        priority=int(_number(content, "PRIORITY", DEBUG)),
        sentence=_text(content, "MESSAGE"),
        outcome=_text(content, "KDUMPHPD_OUTCOME"),
        reason=_text(content, "KDUMPHPD_REASON"),
        armed={"yes": True, "no": False}.get(armed),
        method=_text(content, "KDUMPHPD_METHOD"),
        seconds=_number(content, "KDUMPHPD_SECONDS"),
        unprotected=_number(content, "KDUMPHPD_UNPROTECTED"),
        events=int(_number(content, "KDUMPHPD_EVENTS")),
        duration=_number(content, "KDUMPHPD_DURATION"),
        elapsed=_number(content, "KDUMPHPD_ELAPSED"),
        cpus=_sets(content, "CPUS"),
        blocks=_sets(content, "BLOCKS"),
        monotonic=_number(content, "__MONOTONIC_TIMESTAMP", LONGEST * 1e6) / 1e6,
    )


def _sets(content: Mapping[str, Any], what: str) -> str:
    actions = ("ADD", "REMOVE", "ONLINE", "OFFLINE")
    found = ((action.lower(), _text(content, f"KDUMPHPD_{what}_{action}")) for action in actions)
    return " ".join(f"{action} {numbers}" for action, numbers in found if numbers)


def _text(content: Mapping[str, Any], name: str) -> str:
    """A field, which journalctl writes as a string, as numbers where it is no text, as null where it is too long."""
    value = content.get(name, "")
    if isinstance(value, list) and value and all(isinstance(item, int) and 0 <= item < 256 for item in value):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, list):
        value = value[0] if value else ""  # the field was there more than once
    return value if isinstance(value, str) else "(too long)" if value is None else ""


def _number(content: Mapping[str, Any], name: str, largest: float = LONGEST) -> float:
    """A field as a number from 0 to `largest`; 0 for everything else."""
    try:
        value = float(_text(content, name))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and 0 <= value <= largest else 0.0
