# SPDX-License-Identifier: GPL-2.0-or-later
"""Making real uevents, and receiving all of them: what the monitor is held against."""

import os
import select
import socket
from pathlib import Path
from typing import cast

from kdumphpd.kernel.crash_hotplug import Subsystem
from kdumphpd.listener.coalesce import Uevent
from kdumphpd.listener.receive import Lost, Monitor

NETLINK_KOBJECT_UEVENT = 15  # include/uapi/linux/netlink.h; not in the socket module
KERNEL_GROUP = 1  # the multicast group of the kernel's own messages

LOOPBACK = Path("/sys/class/net/lo/uevent")

# In a network namespace of its own only network devices send uevents: they stand for CPUs and memory there.
NET = cast(Subsystem, "net")
NET_PATH = "/devices/virtual/net/"


def send(action: str = "add", device: Path = LOOPBACK) -> None:
    """Have the kernel send a synthetic uevent (Documentation/ABI/testing/sysfs-uevent)."""
    device.write_text(action)


def everything() -> socket.socket:
    """A socket that receives every uevent, with no filter."""
    plain = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_KOBJECT_UEVENT)
    plain.bind((0, KERNEL_GROUP))
    plain.setblocking(False)
    return plain


def drain(plain: socket.socket) -> list[bytes]:
    messages = []
    while is_readable(plain):
        messages.append(plain.recv(1 << 16))
    return messages


def is_readable(what: Monitor | socket.socket) -> bool:
    """Whether an event loop would be woken; uevents are delivered before the write that makes them returns."""
    return bool(select.select([what], [], [], 0)[0])


def read_all(monitor: Monitor) -> list[Uevent | Lost]:
    """As the listener does: a batch each time that the socket is readable."""
    found: list[Uevent | Lost] = []
    for _ in range(10000):
        if not is_readable(monitor):
            return found
        found += monitor.read()
    raise AssertionError("the socket stays readable although it is read: the loop would spin")


def shrink(monitor: Monitor) -> None:
    """Leave room for a handful of messages, as the kernel's least receive buffer has it."""
    with socket.socket(fileno=os.dup(monitor.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
