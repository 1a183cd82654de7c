# SPDX-License-Identifier: GPL-2.0-or-later
"""CPUs and memory that come and go while a guest runs."""

import time
from typing import Any

from tests.vm.guests import VIRTIO_MEM, Guest
from tests.vm.qmp import Qmp

UNPLUG_S = 60.0


class HotplugFailed(AssertionError):  # noqa: N818
    """The guest did not give back a device, or has no room for another one."""


class Devices:
    """The devices of a running guest that can be plugged and unplugged. Each method raises VmLost without QEMU."""

    qmp: Qmp

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self._devices = 0

    def add_memory(self, mib: int, address: int | None = None) -> str:
        """Plug `mib` MiB and return the device's id. The guest sees its blocks a moment later.

        Where the machine has virtio-mem, that grows by them; a DIMM may have a physical `address` of its own.
        """
        if self.guest.arch.memory == "virtio-mem":
            self._resize(self._virtio_mem("size") + (mib << 20))
            return VIRTIO_MEM
        name = self._new_id("dimm")
        self.qmp.execute("object-add", qom_type="memory-backend-ram", id=f"{name}-ram", size=mib << 20)
        where = {} if address is None else {"addr": address}
        self.qmp.execute("device_add", driver="pc-dimm", id=name, memdev=f"{name}-ram", **where)
        return name

    def remove_memory(self, device: str, timeout: float = UNPLUG_S) -> None:
        """Ask the guest for a DIMM, or for all of virtio-mem, and wait until it has given it back.

        The blocks must be removable: online them as movable, or not at all. Raises HotplugFailed.
        """
        if device == VIRTIO_MEM:
            self._resize(0)
            deadline = time.monotonic() + timeout
            while self._virtio_mem("size"):
                if time.monotonic() > deadline:
                    raise HotplugFailed(f"the guest keeps {self._virtio_mem('size') >> 20} MiB of virtio-mem")
                time.sleep(0.05)
            return
        self._unplug(device, timeout)
        self.qmp.execute("object-del", id=f"{device}-ram")

    def add_cpu(self) -> str:
        """Plug a CPU into the first free slot and return its id."""
        for slot in reversed(self.qmp.execute("query-hotpluggable-cpus")):
            if "qom-path" not in slot:
                name = self._new_id("cpu")
                self.qmp.execute("device_add", driver=slot["type"], id=name, **slot["props"])
                return name
        raise HotplugFailed("every CPU slot is taken")

    def remove_cpu(self, device: str, timeout: float = UNPLUG_S) -> None:
        """Ask the guest for a CPU and wait until it has given it back. Raises HotplugFailed."""
        self._unplug(device, timeout)

    def _virtio_mem(self, name: str) -> int:
        return int(self.qmp.execute("qom-get", path=f"/machine/peripheral/{VIRTIO_MEM}", property=name))

    def _resize(self, size: int) -> None:
        path = f"/machine/peripheral/{VIRTIO_MEM}"
        self.qmp.execute("qom-set", path=path, property="requested-size", value=size)

    def _new_id(self, kind: str) -> str:
        self._devices += 1
        return f"{kind}{self._devices}"

    def _unplug(self, device: str, timeout: float) -> None:
        self.qmp.events.clear()
        self.qmp.execute("device_del", id=device)
        deadline = time.monotonic() + timeout
        # Not by DEVICE_DELETED: QEMU 7.2 sends it for a CPU's local APIC only.
        while device in (child["name"] for child in self.qmp.execute("qom-list", path="/machine/peripheral")):
            refused = [event for event in self.qmp.events if _is_refusal(event, device)]
            if refused or time.monotonic() > deadline:
                raise HotplugFailed(f"the guest has not given back {device} in {timeout:.0f} s: {refused}")
            time.sleep(0.05)


def _is_refusal(event: dict[str, Any], device: str) -> bool:
    """Whether an event says that the guest keeps a device: on PowerPC, and by ACPI's _OST (0x80 and up: not yet)."""
    if event["event"] == "ACPI_DEVICE_OST":
        info: dict[str, Any] = event["data"]["info"]
        return info.get("device") == device and 0 < int(info["status"]) < 0x80
    refusals = {"DEVICE_UNPLUG_GUEST_ERROR", "MEM_UNPLUG_ERROR"}
    return event["event"] in refusals and bool(event["data"].get("device") == device)
