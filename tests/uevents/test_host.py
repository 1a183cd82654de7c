# SPDX-License-Identifier: GPL-2.0-or-later
"""The monitor on this machine's own CPUs and memory, by synthetic uevents (root only)."""

import os
from pathlib import Path

import pytest

from kdumphpd.kernel.crash_hotplug import Subsystem
from kdumphpd.listener.coalesce import Uevent
from kdumphpd.listener.receive import Monitor
from tests.uevents.devices import drain, everything, read_all, send

SYSTEM = Path("/sys/devices/system")


def needs(device: Path) -> Path:
    """The uevent file of a device, for root where there is one."""
    if not os.access(device / "uevent", os.W_OK):
        pytest.skip(f"{device}/uevent is missing or not ours to write; another test does the same in a namespace")
    return device / "uevent"


@pytest.mark.parametrize(("subsystem", "device"), [(Subsystem.CPU, "cpu/cpu0"), (Subsystem.MEMORY, "memory/memory0")])
@pytest.mark.parametrize("action", ["online", "offline", "add", "remove"])
def test_uevents_of_cpus_and_memory_are_received(subsystem: Subsystem, device: str, action: str) -> None:
    uevent = needs(SYSTEM / device)
    monitor = Monitor()
    try:
        send(action, uevent)
        # Other processes may do the same meanwhile: ours is among what was received.
        assert Uevent(subsystem, action, 0, synthetic=True) in read_all(monitor)
    finally:
        monitor.close()


def test_uevents_of_other_devices_are_not() -> None:
    uevent = needs(Path("/sys/devices/virtual/mem/null"))
    monitor = Monitor()
    try:
        with everything() as plain:
            send("add", uevent)
            assert any(b"DEVPATH=/devices/virtual/mem/null" in message for message in drain(plain))
        assert all(isinstance(event, Uevent) and event.subsystem in Subsystem for event in read_all(monitor))
    finally:
        monitor.close()
