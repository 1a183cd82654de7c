# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes over kdumphpd-helper.socket: one word to the helper, JSON lines back.

A request is one line with one word out of `Request` and carries no parameter: what is loaded, and how, comes only
from root's configuration. The answers are any number of progress lines and one result, each a JSON object on a line
of at most MAX_LINE bytes.
"""

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum

from kdumphpd import fields

# For how long the helper waits for its request: whoever connects and says nothing does not keep the place.
REQUEST_TIMEOUT = 10.0  # seconds

# How long it may take to answer: RuntimeMaxSec= of kdumphpd-helper@.service, and a little for systemd to end it.
PATIENCE = 3 * 3600.0 + 60.0  # seconds

MAX_LINE = 65536  # bytes; a result with thousands of ranges is cut by its writer, not here


class ProtocolError(Exception):
    """The other side said something that is not in the protocol."""


class NothingSaidError(ProtocolError):
    """The other side has connected and left it at that."""


class Request(StrEnum):
    """What the helper can be asked for."""

    CHECK = "check"  # nothing is known to have changed: a start, the interval, an image that somebody else loaded
    UPDATE = "update"  # CPUs or memory changed, and the events have settled
    UPDATE_UNSETTLED = "update-unsettled"  # the same while events still arrive: crash_hotplug must not be read now
    CONFIGURATION = "configuration"  # read the configuration again, and say whether it is right
    REARM = "rearm"  # as UPDATE; root alone
    REARM_NOW = "rearm-now"  # the same, past the rate limit; root alone


FOR_ROOT = frozenset({Request.REARM, Request.REARM_NOW})


class Outcome(StrEnum):
    NOT_LOADED = "not-loaded"  # as the operator wishes, as far as anybody says
    MISSING = "missing"  # not loaded although the distribution's unit wants one: for an operator to load, not for us
    CURRENT = "current"  # read and right, or unchanged since it was loaded: nothing was done
    UNVERIFIED = "unverified"  # not read; the kernel reports that it updates the image
    STALE = "stale"  # still wrong after a reload
    UNSAFE = "unsafe"  # right, but its capture kernel may overwrite what it is to dump
    RELOADED = "reloaded"
    DEFERRED = "deferred"  # out of date, and due again after `wait` seconds
    FAILED = "failed"
    BUSY = "busy"  # another request is at work; ask again
    CONFIGURED = "configured"  # the answer to CONFIGURATION
    REFUSED = "refused"  # a request that is not in the protocol, or not for this caller


class Reason(StrEnum):
    """Why the image was reloaded or left alone. The journal's words for each are in messages.py."""

    NOT_LOADED = "not-loaded"
    CURRENT = "current"  # the image was read, and describes the machine
    UNCHANGED = "unchanged"  # it can't be read; the machine is as it was when the image was loaded
    KERNEL_UPDATES = "kernel-updates"  # it can't be read; the kernel reports that it updates it
    PENDING = "pending"  # an earlier reload did not end with an image
    STALE = "stale"  # the image was read, and does not describe the machine
    UNSAFE = "unsafe"  # its capture kernel may overwrite what it is to dump
    NOT_UPDATABLE = "not-updatable"  # right, but the kernel, which could update it, is not permitted to
    CHANGED = "changed"  # it can't be read; the machine has changed and the kernel does not update it
    KERNEL_ERROR = "kernel-error"  # it can't be read; the kernel reported an update that failed
    UNLOADED = "unloaded"  # the operator unloaded it meanwhile


# Reasons for a reload of an image that did describe the machine.
DESCRIBED = frozenset({Reason.NOT_UPDATABLE, Reason.UNSAFE})
# Or that was not there.
NOT_STALE = DESCRIBED | {Reason.PENDING, Reason.NOT_LOADED, Reason.UNLOADED}


@dataclass(frozen=True)
class Progress:
    """A step that has begun, in words."""

    step: str


@dataclass(frozen=True)
class Settings:
    """What the listener needs of the configuration, which it may not be permitted to read. All in seconds."""

    settle_time: float
    max_delay: float
    interval: float  # verify.interval


@dataclass(frozen=True)
class Totals:
    """All loads of ours in this boot, whoever asked for them."""

    reloads: int = 0
    unprotected: float = 0.0  # seconds without an image in them


@dataclass(frozen=True)
class Result:
    """How it ended. Times are in seconds."""

    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""  # in words: what the image misses, why it can't be read, what the loader answered
    loader: str = ""
    method: str = ""  # how a new image was loaded; empty where none was
    seconds: float = 0.0  # from the start of the load to its end
    unprotected: float = 0.0  # of those, without an image
    armed: bool = False  # an image is loaded now
    pending: bool = False  # a reload of ours took the image down and has not put one back
    wait: float = 0.0  # before the next request can bring more
    retry: bool = True  # after a failure: whether asking again can bring more
    known: bool = False  # the same failure was reported before
    kernel_updates: bool = False  # the kernel updates the loaded image by itself from now on
    settings: Settings | None = None
    totals: Totals | None = None  # with this one


KINDS: dict[str, type[Progress] | type[Result]] = {"progress": Progress, "result": Result}


def encode(message: Progress | Result) -> bytes:
    """One line."""
    kind = "progress" if isinstance(message, Progress) else "result"
    return json.dumps({"kind": kind, **dataclasses.asdict(message)}, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Progress | Result:
    """The message of one line. Raises ProtocolError for anything else."""
    try:
        content = json.loads(line)
        return fields.build(KINDS[content.pop("kind")], content)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ProtocolError(f"not an answer of the helper: {line[:200]!r}") from error


def decode_request(line: bytes) -> Request:
    """The word of a request. Raises ProtocolError for anything else."""
    try:
        return Request(line.decode("ascii").removesuffix("\n"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ProtocolError(f"unknown request {line[:40]!r}; known: {', '.join(Request)}") from error
