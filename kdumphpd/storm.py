# SPDX-License-Identifier: GPL-2.0-or-later
"""Storms: the uevents of one hotplug operation, gathered so that they are answered once.

Pure: no I/O and no clock. Every method is told the time (seconds of any monotonic clock), and the
caller asks when to come back.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from kdumphpd.ids import IdSet


class Subsystem(StrEnum):
    """The two subsystems whose hotplug makes a kdump image out of date."""

    CPU = "cpu"
    MEMORY = "memory"


# After these a CPU is part of the machine, or no longer. pseries sends online and offline alone; x86
# adds, and an administrator's `echo 1 > online` on an older kernel sends `add` and no `online`.
CAME = frozenset({"add", "online"})
WENT = frozenset({"remove", "offline"})

# change, bind, unbind and move say nothing about what there is: a driver was loaded.
RELEVANT = CAME | WENT


@dataclass(frozen=True, slots=True)
class Uevent:
    """One kernel uevent of a CPU or memory block."""

    subsystem: Subsystem
    action: str
    number: int | None  # 3 for cpu3 or memory3; None for a device that is neither
    synthetic: bool = False  # written to a uevent file: coldplug, udevadm trigger (SYNTH_UUID)

    @property
    def relevant(self) -> bool:
        return not self.synthetic and self.number is not None and self.action in RELEVANT


@dataclass(slots=True)
class Storm:
    """What changed between two looks at the image. Times are those given to the coalescer."""

    opened: float
    last: float
    counts: Counter[tuple[Subsystem, str]] = field(default_factory=Counter)
    cpus_came: IdSet = field(default_factory=IdSet)
    cpus_went: IdSet = field(default_factory=IdSet)
    blocks_came: IdSet = field(default_factory=IdSet)  # online: part of System RAM
    blocks_went: IdSet = field(default_factory=IdSet)
    blocks_added: IdSet = field(default_factory=IdSet)  # present, and nobody has brought them online
    first_event: str = ""
    last_event: str = ""
    assumed: str = ""  # why everything is taken to have changed; empty: only what the events say

    @property
    def events(self) -> int:
        return self.counts.total()

    @property
    def duration(self) -> float:
        """Seconds from the first to the last event."""
        return self.last - self.opened

    @property
    def touched(self) -> frozenset[Subsystem]:
        """The subsystems whose answer about this image matters: all, where everything may have changed."""
        if self.assumed:
            return frozenset(Subsystem)
        return frozenset(subsystem for subsystem, _ in self.counts)

    def add(self, event: Uevent) -> None:
        assert event.number is not None  # noqa: S101 - Uevent.relevant, checked by the only caller
        text = f"{event.action}@{event.subsystem}{event.number}"
        self.first_event = self.first_event or text
        self.last_event = text
        self.counts[event.subsystem, event.action] += 1
        if event.subsystem is Subsystem.CPU:
            came, went = self.cpus_came, self.cpus_went
        elif event.action in ("add", "remove"):
            # Present is not online: System RAM, and so the image, changes with online and offline alone.
            (self.blocks_added.add if event.action == "add" else self.blocks_added.discard)(event.number)
            return
        else:
            came, went = self.blocks_came, self.blocks_went
            self.blocks_added.discard(event.number)
        here, there = (came, went) if event.action in CAME else (went, came)
        here.add(event.number)
        there.discard(event.number)


class Coalescer:
    """Turns a stream of uevents into storms.

    A storm opens at the first relevant event and closes `quiet` seconds after the last one, at the latest
    `max_delay` seconds after the first: a stale image still dumps most of memory, an unloaded one nothing,
    so waiting is cheaper than reloading, but not for ever.
    """

    def __init__(self, quiet: float, max_delay: float) -> None:
        self.quiet = quiet
        self.max_delay = max_delay
        self.not_before = -math.inf  # no storm closes earlier; what comes until then is part of it
        self.storm: Storm | None = None

    def feed(self, event: Uevent, now: float) -> bool:
        """Take one event; whether it belongs to a storm. Others change nothing by themselves."""
        if not event.relevant:
            return False
        self._open(now).add(event)
        return True

    def assume(self, why: str, now: float) -> None:
        """Everything may have changed, unheard: the socket overflowed, or we were not there."""
        storm = self._open(now)
        storm.assumed = storm.assumed or why

    def deadline(self) -> float | None:
        """When `close` will have something to give; None while it is calm."""
        if self.storm is None:
            return None
        return max(self.not_before, min(self.storm.last + self.quiet, self.storm.opened + self.max_delay))

    def close(self, now: float) -> Storm | None:
        """The storm that is over at `now`, once; None where there is none or it still blows."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return None
        storm, self.storm = self.storm, None
        return storm

    def _open(self, now: float) -> Storm:
        if self.storm is None:
            self.storm = Storm(opened=now, last=now)
        self.storm.last = now
        return self.storm
