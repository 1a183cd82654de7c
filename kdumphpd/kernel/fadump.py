# SPDX-License-Identifier: GPL-2.0-or-later
"""Firmware-assisted dump (PowerPC): its state. Source: Documentation/arch/powerpc/firmware-assisted-dump.rst."""

from dataclasses import dataclass
from pathlib import Path

from kdumphpd.sysfs import read_flag

# New home first; the old one is a compat link there, and the only one on older kernels.
ENABLED = ("sys/kernel/fadump/enabled", "sys/kernel/fadump_enabled")
REGISTERED = ("sys/kernel/fadump/registered", "sys/kernel/fadump_registered")
HOTPLUG_READY = "sys/kernel/fadump/hotplug_ready"


@dataclass(frozen=True, slots=True)
class Fadump:
    """fadump as the kernel shows it."""

    enabled: bool
    registered: bool
    # Memory hotplug needs no new registration. The attribute exists, and reads 1, without fadump being
    # enabled too, so it is asked for only then (False otherwise).
    hotplug_ready: bool


def is_enabled(root: Path) -> bool:
    """Whether fadump is enabled; where that can't be read, it is not."""
    try:
        return read_fadump(root).enabled
    except OSError:
        return False


def read_fadump(root: Path) -> Fadump:
    """The state of fadump; all False where there is none. Raises OSError where it can't be read."""
    enabled = read_flag(root, *ENABLED) or False
    if not enabled:
        return Fadump(enabled=False, registered=False, hotplug_ready=False)
    return Fadump(
        enabled=True,
        registered=read_flag(root, *REGISTERED) or False,
        hotplug_ready=read_flag(root, HOTPLUG_READY) or False,
    )
