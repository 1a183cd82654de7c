# SPDX-License-Identifier: GPL-2.0-or-later
"""Bursts: the uevents of one hotplug operation, coalesced so that they are handled once.

Pure: no I/O and no clock. Every method is told the time (seconds of any monotonic clock), and the caller asks when
to come back.
"""

from collections import Counter
from dataclasses import dataclass, field

from kdumphpd.ids import IdSet
from kdumphpd.kernel.crash_hotplug import Subsystem

# After these a CPU or memory is part of the machine, or no longer. pseries sends online and offline alone; x86 adds,
# and an administrator's `echo 1 > online` on an older kernel sends `add` and no `online`. change, bind, unbind and
# move say nothing about what there is: a driver was loaded.
OPPOSITE = {"add": "remove", "remove": "add", "online": "offline", "offline": "online"}


@dataclass(frozen=True, slots=True)
class Uevent:
    """One kernel uevent of a CPU or memory block."""

    subsystem: Subsystem
    action: str
    number: int | None  # 3 for cpu3 or memory3; None for a device that is neither
    synthetic: bool = False  # written to a uevent file: coldplug, udevadm trigger (SYNTH_UUID)

    @property
    def relevant(self) -> bool:
        return not self.synthetic and self.number is not None and self.action in OPPOSITE


@dataclass(slots=True)
class Burst:
    """What changed between two requests. Times are those given to the coalescer."""

    opened: float
    last: float
    counts: Counter[tuple[Subsystem, str]] = field(default_factory=Counter)
    cpus: dict[str, IdSet] = field(default_factory=dict)  # by action, less what the opposite one has undone
    blocks: dict[str, IdSet] = field(default_factory=dict)
    first_event: str = ""
    last_event: str = ""
    lost: str = ""  # why events are missing, and everything may have changed
    cut: bool = False  # it was handled once while events still arrived

    @property
    def events(self) -> int:
        return self.counts.total()

    @property
    def duration(self) -> float:
        """Seconds from the first to the last event."""
        return self.last - self.opened

    def add(self, event: Uevent) -> None:
        if event.number is None:
            return
        text = f"{event.action}@{event.subsystem}{event.number}"
        self.first_event = self.first_event or text
        self.last_event = text
        self.counts[event.subsystem, event.action] += 1
        sets = self.cpus if event.subsystem is Subsystem.CPU else self.blocks
        sets.setdefault(event.action, IdSet()).add(event.number)
        if (undone := sets.get(OPPOSITE[event.action])) is not None:
            undone.discard(event.number)


class Coalescer:
    """Turns a stream of uevents into bursts.

    A burst opens at the first relevant event and closes `settle_time` seconds after the last one. `max_delay` seconds
    after the first it is handled although events still arrive: a stale image still dumps most of memory and none
    dumps nothing, so waiting is cheaper than reloading, but not for ever.
    """

    def __init__(self, settle_time: float, max_delay: float) -> None:
        self.settle_time = settle_time
        self.max_delay = max_delay
        self.burst: Burst | None = None

    def feed(self, event: Uevent, now: float) -> bool:
        """Take one event; whether it belongs to a burst. Others change nothing by themselves."""
        if not event.relevant:
            return False
        self._open(now).add(event)
        return True

    def mark_lost(self, why: str, now: float) -> None:
        """Events were lost: everything may have changed."""
        burst = self._open(now)
        burst.lost = burst.lost or why

    def deadline(self) -> float | None:
        """When `close` will have something to give; None where no burst is open."""
        if self.burst is None:
            return None
        return min(self.burst.last + self.settle_time, self.burst.opened + self.max_delay)

    def close(self, now: float) -> tuple[Burst, bool] | None:
        """The burst that is to be handled at `now`, once, and whether it has settled; None where there is none."""
        deadline = self.deadline()
        if self.burst is None or deadline is None or now < deadline:
            return None
        burst, settled = self.burst, now >= self.burst.last + self.settle_time
        # One that has not settled needs another request when it has, whether or not more events arrive.
        self.burst = None if settled else Burst(opened=now, last=burst.last, cut=True)
        return burst, settled

    def _open(self, now: float) -> Burst:
        if self.burst is None:
            self.burst = Burst(opened=now, last=now)
        self.burst.last = now
        return self.burst
