# SPDX-License-Identifier: GPL-2.0-or-later
"""What is around the helper: how it ends, what is in its way, the distribution's unit, and a meter."""

from dataclasses import dataclass

from kdumphpd.load.units import UnitState
from tests.property.model.kernel import Kernel

UNIT = "kdump-tools.service"

KEXEC_FAULTS = ("refused", "dropped", "late", "lies")


class Stopped(BaseException):
    """The helper does not come back from an operation."""


class Killed(Stopped):
    """It is gone, and what it had in mind with it."""


class Hung(Stopped):
    """It waits for ever, and holds its lock, until systemd ends it."""


class HelperUnavailable(Exception):  # noqa: N818 - as client.py has it
    """The request got no answer."""


@dataclass
class Obstacles:
    """What does not work now."""

    silent: bool = False  # systemd does not answer
    kexec: str = ""  # one of KEXEC_FAULTS
    not_recorded: bool = False  # the loader does not say what it would load
    not_ready: bool = False  # a file is being written
    unwritable: bool = False  # /run is full
    disabled: bool = False  # kernel.kexec_load_disabled
    no_loader: bool = False
    bad_configuration: bool = False
    stuck: bool = False  # nothing can be unloaded
    unreadable: bool = False  # crash_loaded


@dataclass
class Distribution:
    """Its unit and its loader."""

    active: str = "inactive"
    enabled: str = "enabled"
    changes: int = 0  # of its state
    updatable: bool = False  # whether its loader leaves an image that the kernel may update
    safe: bool = False
    misses: frozenset[int] = frozenset()  # memory blocks that kexec_load does not see

    def state(self) -> UnitState:
        invocation = str(self.changes) if self.active == "active" else ""
        return UnitState(UNIT, self.active, self.enabled, str(self.changes), invocation)

    def becomes(self, active: str) -> None:
        self.active = active
        self.changes += 1


@dataclass
class Meter:
    """Until `stop`, as the real one: what it has measured is added to later."""

    kernel: Kernel
    began: float
    absent: float
    more_seconds: float = 0.0
    more_unprotected: float = 0.0

    @property
    def seconds(self) -> float:
        return self.kernel.clock.now - self.began + self.more_seconds

    @seconds.setter
    def seconds(self, value: float) -> None:
        self.more_seconds += value - self.seconds

    @property
    def unprotected(self) -> float:
        return self.kernel.seconds_absent() - self.absent + self.more_unprotected

    @unprotected.setter
    def unprotected(self, value: float) -> None:
        self.more_unprotected += value - self.unprotected
