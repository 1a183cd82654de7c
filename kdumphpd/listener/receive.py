# SPDX-License-Identifier: GPL-2.0-or-later
"""Receiving the kernel's uevents. The only module that knows netlink and pyudev."""

import errno
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import pyudev

from kdumphpd.kernel.crash_hotplug import Subsystem
from kdumphpd.listener import bpf
from kdumphpd.listener.coalesce import Uevent

# Subsystem → the device paths of its devices.
DEVPATHS: Mapping[Subsystem, str] = {
    Subsystem.CPU: "/devices/system/cpu/",
    Subsystem.MEMORY: "/devices/system/memory/",
}

# Room for some 58,000 uevents (2.3 KB each with the kernel's bookkeeping, measured). Only a privileged process may
# have it (SO_RCVBUFFORCE); another one gets what net.core.rmem_max allows, and an overflow is no loss: see Lost.
RECEIVE_BUFFER = 64 << 20
SO_RCVBUFFORCE, SO_PASSCRED, SO_DOMAIN = 33, 16, 39  # include/uapi/asm-generic/socket.h

# Descriptors that systemd hands over begin here, sd_listen_fds(3).
LISTEN_FDS_START = 3

# How many messages are read before other work of the loop gets its turn.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Lost:
    """Messages were lost, or the socket failed: nobody knows what has changed."""

    why: str


class Monitor:
    """A netlink socket with the kernel's own uevents of the watched subsystems.

    `passed` is one that systemd has opened (kdumphpd.socket): it has room for more, and uevents queue in it while
    nobody listens. Raises OSError from the constructor where the socket can't be had.
    """

    def __init__(self, devpaths: Mapping[Subsystem, str] = DEVPATHS, passed: int | None = None) -> None:
        self._devpaths = devpaths
        # Source "kernel": udevd's own messages would be silent where udevd does not run, and late where it does.
        self._monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
        self._monitor.start()
        if passed is not None:
            # libudev knows its socket by the number alone. It ignores what has no sender's credentials.
            os.dup2(passed, self._monitor.fileno(), inheritable=False)
        # A second object for the same socket: pyudev owns the descriptor, we only set and read options.
        self._socket = socket.socket(fileno=os.dup(self._monitor.fileno()))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_PASSCRED, 1)
        self._socket.setblocking(False)
        if passed is None:
            _raise_receive_buffer(self._socket)
        self.receive_buffer = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        # After start(), which attaches libudev's own filter: that one can't tell kernel messages apart.
        bpf.attach(self._socket, bpf.program(list(self._devpaths.values())))

    def fileno(self) -> int:
        """For the event loop."""
        return int(self._monitor.fileno())

    def read(self) -> list[Uevent | Lost]:
        """What has arrived, at most a batch; never blocks.

        An overflow (ENOBUFS) is an event like others: the kernel reports it once, as an error on the socket
        that stays until SO_ERROR is read (pyudev's poll() alone never recovers from it).
        Raises OSError for a socket that is of no more use; make a new monitor then.
        """
        result: list[Uevent | Lost] = []
        for _ in range(BATCH):
            try:
                device = self._monitor.poll(timeout=0)
            except OSError as failure:
                # Reading SO_ERROR clears it; where receiving itself reported the error it is clear already.
                error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if errno.ENOBUFS not in (error, failure.errno):
                    raise
                result.append(Lost("more arrived at once than the socket could hold"))
                continue
            if device is None:
                break
            if (event := self._parse(device)) is not None:
                result.append(event)
        return result

    def _parse(self, device: pyudev.Device) -> Uevent | None:
        try:
            subsystem = next(s for s in self._devpaths if s == device.subsystem)
            return Uevent(
                subsystem=subsystem,
                action=device.action or "",
                number=self._number(subsystem, device.device_path),
                synthetic="SYNTH_UUID" in device.properties,
            )
        except (StopIteration, UnicodeDecodeError):
            return None  # another subsystem below the same path, or no uevent at all

    def _number(self, subsystem: Subsystem, path: str) -> int | None:
        """3 for /devices/system/cpu/cpu3; None for what is no CPU: cpufreq's policies are devices there, too."""
        prefix = f"{self._devpaths[subsystem]}{subsystem}"
        number = path.removeprefix(prefix)
        return int(number) if path.startswith(prefix) and number.isdecimal() and len(number) < 10 else None

    def close(self) -> None:
        self._socket.close()


def passed_socket() -> int | None:
    """The descriptor of a netlink socket that systemd has handed over; None where there is none.

    The last one: what an earlier listener has left in systemd's care comes after kdumphpd.socket's, which systemd
    opens again with every start.
    """
    found = None
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not os.environ.get("LISTEN_FDS", "").isdecimal():
        return None
    for descriptor in range(LISTEN_FDS_START, LISTEN_FDS_START + min(int(os.environ["LISTEN_FDS"]), 8)):
        try:
            with socket.socket(fileno=os.dup(descriptor)) as candidate:
                if candidate.getsockopt(socket.SOL_SOCKET, SO_DOMAIN) == socket.AF_NETLINK:
                    found = descriptor
        except OSError:
            continue
    return found


def _raise_receive_buffer(sock: socket.socket) -> None:
    """Raise the receive buffer as far as permitted."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
