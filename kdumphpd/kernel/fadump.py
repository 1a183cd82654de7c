# SPDX-License-Identifier: GPL-2.0-or-later
"""Firmware-assisted dump (PowerPC): its state. Source: Documentation/arch/powerpc/firmware-assisted-dump.rst."""

from dataclasses import dataclass
from pathlib import Path

from kdumphpd.kernel.files import read_flag


@dataclass(frozen=True, slots=True)
class Fadump:
    """fadump as the kernel shows it."""

    enabled: bool
    registered: bool
    # Memory hotplug needs no new registration. The attribute exists, and reads 1, without fadump being
    # enabled too, so it is asked for only then (False otherwise).
    hotplug_ready: bool


def read_fadump(root: Path) -> Fadump:
    """The state of fadump; all False where there is none. Raises OSError where it can't be read."""
    enabled = read_flag(root, "sys/kernel/fadump/enabled", "sys/kernel/fadump_enabled") or False
    if not enabled:
        return Fadump(enabled=False, registered=False, hotplug_ready=False)
    return Fadump(
        enabled=True,
        registered=read_flag(root, "sys/kernel/fadump/registered", "sys/kernel/fadump_registered") or False,
        hotplug_ready=read_flag(root, "sys/kernel/fadump/hotplug_ready") or False,
    )
