# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes over the rearm socket: one verb to root's part, JSON lines back.

A request is one line with one word out of `Verb` and carries no parameter: what is reloaded, and how, comes
only from root's configuration. The answers are any number of progress lines and one result, each a JSON object
on a line of at most MAX_LINE bytes.
"""

import dataclasses
import json
from enum import StrEnum

from pydantic import ValidationError
from pydantic.dataclasses import dataclass

SOCKET = "run/kdumphpd-rearm.socket"
MAX_LINE = 65536  # bytes; a result with thousands of ranges is cut by its writer, not here


class ProtocolError(Exception):
    """The other side said something that is not in the protocol."""


class Verb(StrEnum):
    VERIFY = "verify"  # look at the image, change nothing
    REARM = "rearm"  # look, and reload where the image needs it
    UPGRADE = "upgrade"  # the same, and once also an image that the kernel could keep current but may not


class Outcome(StrEnum):
    NOTHING_LOADED = "nothing-loaded"
    CURRENT = "current"  # read, and right: nothing was done
    TRUSTED = "trusted"  # not read; the kernel says that it keeps the image current
    STALE = "stale"  # read, and wrong (verify), or still wrong after a reload (rearm)
    UNREADABLE = "unreadable"  # verify could not read it
    RELOADED = "reloaded"
    DEFERRED = "deferred"  # out of date, and to be looked at again after `wait` seconds
    FAILED = "failed"
    REFUSED = "refused"  # a request that is not in the protocol


@dataclass(frozen=True)
class Progress:
    """A step that has begun, in words."""

    step: str


@dataclass(frozen=True)
class Result:
    """How it ended. Times are in seconds."""

    outcome: Outcome
    reason: str = ""  # a policy.Reason: why it was reloaded or left alone
    detail: str = ""  # in words: what the image lacks, why it can't be read, what the loader answered
    loader: str = ""
    way: str = ""  # of the loader's ways the one that the loaded image came by
    seconds: float = 0.0  # from the start of the load to its end
    unprotected: float = 0.0  # of those, without an image
    armed: bool = False  # an image is loaded now
    wait: float = 0.0  # before the next request can bring more
    kernel_updates: bool = False  # and the kernel says that it keeps that one current


KINDS: dict[str, type[Progress] | type[Result]] = {"progress": Progress, "result": Result}


def encode(message: Progress | Result) -> bytes:
    """One line."""
    kind = "progress" if isinstance(message, Progress) else "result"
    line = json.dumps({"kind": kind, **dataclasses.asdict(message)}, separators=(",", ":")).encode()
    return line + b"\n"


def decode(line: bytes) -> Progress | Result:
    """The message of one line. Raises ProtocolError for anything else."""
    try:
        fields = json.loads(line)
        return KINDS[fields.pop("kind")](**fields)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        ValidationError,
    ) as error:
        raise ProtocolError(f"not an answer of the rearm step: {line[:200]!r}") from error


def decode_verb(line: bytes) -> Verb:
    """The verb of a request. Raises ProtocolError for anything else."""
    try:
        return Verb(line.decode("ascii").removesuffix("\n"))
    except (ValueError, UnicodeDecodeError) as error:
        known = ", ".join(Verb)
        raise ProtocolError(f"unknown request {line[:40]!r}; known: {known}") from error
