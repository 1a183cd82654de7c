# SPDX-License-Identifier: GPL-2.0-or-later
"""What `status`, `check` and kdumphpd-check.service go by: the kernel's files, the listener's state, the record, and
systemd's word on the units that load kdump's image.

Every user may read all of it, and reading it takes no lock of the kernel's.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kdumphpd import fields, runtime, state, systemctl, wishes
from kdumphpd.kernel.crash_hotplug import ATTRIBUTE, Subsystem
from kdumphpd.kernel.fadump import Fadump, read_fadump
from kdumphpd.kernel.limits import Limits, read_limits
from kdumphpd.kernel.loaded import image_loaded
from kdumphpd.sysfs import read_attribute
from kdumphpd.use_kdump import is_switched_off
from kdumphpd.wishes import EARLIER, KDUMP_TOOLS

OURS = "kdumphpd.service"
LOADERS = (KDUMP_TOOLS, "kdump.service", "kdump-early.service")
"""The distributions' units that load an image."""

INVOCATIONS = "run/systemd/units/invocation:"

PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "NRestarts", "ActiveExitTimestampMonotonic")
LIMIT = 10.0  # seconds, for a systemd that is busy

Units = Mapping[str, Mapping[str, str]]
"""Unit → property → value, of those that are installed."""


@dataclass(frozen=True, slots=True)
class LastLoad:
    """What the helper has recorded of the image that is loaded."""

    pending: bool = False  # a reload of ours has begun and not ended with an image
    method: str = ""  # empty: somebody else has loaded it
    kernel_updates: bool = False  # the kernel updates this image by itself, as it said when it was last asked
    unprotected: float = 0.0  # seconds without an image in our last load


@dataclass(frozen=True, slots=True)
class Facts:
    """One moment."""

    loaded: bool | None  # None: `problem` says why that can't be told
    problem: str = ""
    fadump: Fadump | None = None
    listener: state.State | None = None  # None: `absence` says why there is no state
    absence: str = ""
    last_load: LastLoad | None = None  # None: nothing was recorded in this boot
    updates: Mapping[str, bool] = field(default_factory=dict)  # subsystem → this kernel can update an image for it
    crashkernel: bool = True  # the kernel was booted with a reservation, as far as its command line says
    units: Units | None = None  # None: not asked, or systemd did not answer
    switched_off: bool = False  # kdump-tools.service is active whatever it does, and does nothing
    limits: Limits = Limits(refusal="", calls=None, locked_down=False)
    machine: str = ""  # uname -m

    @property
    def runs(self) -> bool:
        """kdumphpd does, as far as is known; it may be that its state can't be read all the same."""
        return self.listener is not None or self.active_state(OURS) == "active"

    def active_state(self, unit: str) -> str:
        """systemd's word; empty where the unit is not installed, or nobody was asked."""
        return (self.units or {}).get(unit, {}).get("ActiveState", "")

    @property
    def describes_itself(self) -> str:
        """Why the image is right whatever changes (image/verdict.py); empty where it may go out of date."""
        if self.machine != "s390x":
            return ""
        return f"the capture kernel of {self.machine} describes the machine by itself"

    @property
    def by_fadump(self) -> bool:
        """The firmware keeps the memory: there is no image of kexec's."""
        return self.fadump is not None and self.fadump.enabled

    @property
    def wishes(self) -> Units:
        """The units whose being active is the operator's wish for an image."""
        installed = {unit: properties for unit, properties in (self.units or {}).items() if unit in LOADERS}
        return wishes.wishes(installed, switched_off=self.switched_off)


def read(root: Path, units: Units | None = None) -> Facts:
    """Read all of it. systemd is asked only where no image is loaded or kdumphpd does not run, and it was not yet."""
    loaded, problem = _loaded(root)
    try:
        listener, absence = state.read(root), ""
    except state.StateError as error:
        listener, absence = None, str(error)
    if units is None and (not loaded or listener is None):
        units = ask_systemd((OURS, *LOADERS)) or _by_links(root)
    return Facts(
        loaded=loaded,
        problem=problem,
        fadump=_fadump(root),
        listener=listener,
        absence=absence,
        last_load=last_load(root),
        updates={subsystem: (root / ATTRIBUTE.format(subsystem)).exists() for subsystem in Subsystem},
        crashkernel=_has_reservation(root),
        units=units,
        switched_off=is_switched_off(root),
        limits=read_limits(root),
        machine=os.uname().machine,
    )


def ask_systemd(units: Sequence[str]) -> Units | None:
    """What systemd says of those of `units` that are installed; None where it does not answer."""
    import subprocess

    command = ["systemctl", *systemctl.show(units, PROPERTIES)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return systemctl.parse(done.stdout, units)


def _by_links(root: Path) -> Units | None:
    """The units that run by the links that systemd makes for them: where it answers root alone (no D-Bus).

    It takes a link away when the unit has stopped or failed. One of EARLIER stays active when kdump.service is
    stopped, and whether that is installed no link says.
    """
    named = [unit for unit in (OURS, *LOADERS) if unit not in EARLIER]
    found = [unit for unit in named if (root / f"{INVOCATIONS}{unit}").is_symlink()]
    return {unit: {"ActiveState": "active"} for unit in found} or None


def _loaded(root: Path) -> tuple[bool | None, str]:
    try:
        return image_loaded(root), ""
    except OSError as error:
        return None, f"cannot tell whether an image is loaded: {error}"


def loaded_in_words(root: Path) -> str:
    """Whether an image is loaded at this moment."""
    loaded, problem = _loaded(root)
    return problem or ("an image is loaded" if loaded else "no image is loaded")


def _fadump(root: Path) -> Fadump | None:
    try:
        return read_fadump(root)
    except OSError:
        return None


def _has_reservation(root: Path) -> bool:
    """Where the command line can't be read nothing is said against it."""
    try:
        line = read_attribute(root, "proc/cmdline")
    except OSError:
        return True
    return line is None or any(word.startswith(("crashkernel=", "fadump=")) for word in line.split())


def last_load(root: Path) -> LastLoad | None:
    """What the record holds; None where there is none, or none that can be read."""
    try:
        with (root / runtime.RECORD).open("rb") as file:
            content = json.loads(file.read(runtime.MAX_RECORD).strip(b"\0 "))
        known = {name: content[name] for name in ("method", "kernel_updates", "unprotected")}
        return fields.build(LastLoad, {**known, "pending": content["pending"] is not None})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
