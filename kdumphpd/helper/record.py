# SPDX-License-Identifier: GPL-2.0-or-later
"""The record of the last load, and whether a reload is pending: all that outlives a request.

Only root can write it. It is one page that is allocated once and then written in place, so that a /run that is full,
by accident or by whoever may write there, neither loses a pending reload nor lifts the rate limit.
"""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from kdumphpd import fields
from kdumphpd.image.fingerprint import Fingerprint
from kdumphpd.load.units import States, UnitState
from kdumphpd.runtime import MAX_RECORD, RECORD

UNREAD = "unread"


@dataclass(frozen=True)
class Unit:
    """A unit of the distribution's loader as it was when a reload began."""

    name: str
    active: str
    enabled: str


@dataclass(frozen=True)
class Pending:
    """A reload that has begun. Written before the image is touched; gone once one is loaded again."""

    units: tuple[Unit, ...] = ()  # empty: systemd did not answer
    since: float = 0.0  # seconds of the monotonic clock; 0: not known

    @classmethod
    def noted(cls, units: States, now: float = 0.0) -> "Pending":
        return cls(tuple(Unit(unit.name, unit.active, unit.enabled) for unit in units or ()), now)


@dataclass
class Record:
    """Every field is of the last load that we know of, ours or somebody else's, unless it says otherwise."""

    pending: Pending | None = None

    # The units before an operator stopped one while ours loaded, where that image (`image`) could not be unloaded.
    unwanted: Pending | None = None

    # The machine that the loaded image describes: taken at each load of ours, and when the image was read as right.
    # None: not known yet.
    machine: Fingerprint | None = None

    # CPUs or memory changed while that image was loaded: no update by the kernel has brought that into it.
    overtaken: bool = False

    # image.reader.Image.identity; empty where the image can't be read.
    image: str = ""

    method: str = ""  # empty: the image is not ours
    loaders: tuple[UnitState, ...] = ()  # the distribution's units then, where it is ours
    ended: float = 0.0  # of our last load; seconds of the monotonic clock, which all processes of one boot share
    unprotected: float = 0.0  # seconds without an image in it, and since it became pending

    # Whether the kernel reported that it updates this image, when it was last asked.
    kernel_updates: bool = False

    # Sequence number of the last kernel error ("crash hp:") that a later load or a reading of the image has settled.
    handled: int = -1

    # Identity (UNREAD: it has none) of the image that a reload to make it updatable and safe has been tried for,
    # whatever came of it.
    improved: str = ""

    # Digest of a mismatch that was the same after a reload: another would not help.
    unresolved: str = ""

    # Load methods whose image missed what the machine has: they come last.
    ineffective: list[str] = field(default_factory=list)

    # Digest of a failure that was reported, and that nothing but an operator can change.
    reported: str = ""

    # crash_dm_crypt_keys/reuse was switched on by a load that has not ended.
    keys_reused: bool = False

    # All loads of ours in this boot, whoever asked for them, and the seconds without an image in them.
    reloads: int = 0
    unprotected_total: float = 0.0

    # Device, inode, size and times of kernel and initrd at the last load that worked, by path.
    files: dict[str, list[int]] = field(default_factory=dict)

    def forget_image(self) -> None:
        """It is gone, and the next one is another one."""
        self.machine, self.overtaken, self.kernel_updates = None, False, False
        self.image = self.method = self.improved = self.unresolved = self.reported = ""


def read(root: Path) -> Record:
    """What is recorded; nothing where there is no file. Raises OSError where it can't be read."""
    try:
        fd = os.open(root / RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Record()
    with os.fdopen(fd, "rb") as file:
        text = file.read(MAX_RECORD).strip(b"\0 ")
    if not text:
        return Record()  # there was room for the name and not for the page
    try:
        content = json.loads(text)
        machine, _ = content.pop("machine", None), content["pending"]
        # Those of another version's that this one has too: what it says of a pending reload has to be heeded.
        names = {f.name for f in dataclasses.fields(Record)}
        known = fields.build(Record, {name: value for name, value in content.items() if name in names})
        known.machine = None if machine is None else Fingerprint.from_json(machine)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # It may have said that a reload is pending, and to load an image that was not taken down costs least.
        return Record(pending=Pending())
    return known


def write(root: Path, record: Record) -> None:
    """Raises OSError, and then an image that is loaded must stay untouched."""
    page = _encode(record)
    if len(page) > MAX_RECORD:
        page = _encode(dataclasses.replace(record, files={}, machine=None))
    # The listener may read it: it asks for a pending reload.
    fd = os.open(root / RECORD, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(fd, 0o644)  # whatever the umask
        os.posix_fallocate(fd, 0, MAX_RECORD)
        os.pwrite(fd, page, 0)
    finally:
        os.close(fd)


def digest(text: str) -> str:
    """A short name of `text`; empty for nothing."""
    return hashlib.sha256(text.encode()).hexdigest()[:32] if text else ""


def _encode(record: Record) -> bytes:
    content = dataclasses.asdict(dataclasses.replace(record, machine=None))
    content["machine"] = record.machine and record.machine.to_json()
    return json.dumps(content, separators=(",", ":")).encode().ljust(MAX_RECORD)
