# SPDX-License-Identifier: GPL-2.0-or-later
"""One guest in one QEMU process: start, restore, hotplug, freeze, end."""

import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.vm import hardware
from tests.vm.agent import Agent, Completed, Job
from tests.vm.build import Image
from tests.vm.channel import Channel, VmLost
from tests.vm.guests import Guest
from tests.vm.hotplug import Devices
from tests.vm.qmp import Qmp

BOOT_S = 600.0
RESTORE_S = 120.0
IDLE_S = 2.0

PANIC = "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger"


class Machine(Devices):
    """A running guest; `with` ends its QEMU, and so does the death of this process.

    Control and agent go over socket pairs that QEMU inherits, so nothing of them is in the file system.
    Every method that talks to the guest raises VmLost when QEMU or the agent is gone.
    """

    def __init__(self, guest: Guest, image: Image, *, disk: Path, payload: Path, state: Path | None = None) -> None:
        """Describe a machine on `disk` (qcow2, written to) and `payload` (raw, only read).

        It boots, or goes on where `state` (from `freeze`) was saved.
        """
        super().__init__(guest)
        self.console_log = disk.with_suffix(".console.log")
        self._image = image
        self._disk = disk
        self._payload = payload
        self._state = state
        self._at_boot: tuple[int, ...] = ()  # MiB of each DIMM that is there from the start
        self._said = ""

    @property
    def disk(self) -> Path:
        """The guest's disk (qcow2)."""
        return self._disk

    def __enter__(self) -> Self:
        control, control_qemu = socket.socketpair()
        agent, agent_qemu = socket.socketpair()
        inherited = (control_qemu.fileno(), agent_qemu.fileno())
        with control_qemu, agent_qemu:
            # setpriv: the kernel ends QEMU with us, however we end.
            self._process = subprocess.Popen(
                ("setpriv", "--pdeathsig", "KILL", "--", *self._command_line(*inherited)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=inherited,
            )
        try:
            self.qmp = Qmp(Channel(control, "QEMU"))
            self.agent = Agent(Channel(agent, "the agent in the guest"))
            if self._state:
                self._restore()
                self.agent.check_alive(RESTORE_S)
            else:
                self.agent.wait_for("true", BOOT_S)
        except VmLost as error:
            self._end()
            raise VmLost(f"{error.args[0]}\n{self._last_words()}") from error
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self.qmp.close()
        self.agent.close()

    def run(self, command: str, timeout: float = 60, *, check: bool = True) -> Completed:
        """Run a line of /bin/sh as root in the guest; see agent.Job.wait for `timeout` and errors."""
        return self.agent.run(command, timeout, check=check)

    def start(self, command: str) -> Job:
        """Start a line of /bin/sh as root in the guest, and return at once."""
        return self.agent.start(command)

    def read_file(self, path: str) -> str:
        """Return what a file in the guest says, also one of /proc or /sys. Raises CommandFailed."""
        return self.agent.read_file(path)

    def write_file(self, path: str, content: bytes | str, mode: int = 0o644) -> None:
        """Create or replace a file in the guest, and the directories above it."""
        self.agent.write_file(path, content, mode)

    def wait_until(self, command: str, timeout: float = 60) -> None:
        """Run a line of /bin/sh, every 0.2 s in the guest, until it succeeds. Raises CommandFailed."""
        tries = max(1, int(timeout * 5))
        loop = f"i=0; until {{ {command}\n}}; do i=$((i+1)); [ $i -lt {tries} ] || exit 1; sleep 0.2; done"
        self.run(f"timeout {timeout:.0f} sh -c {shlex.quote(loop)}", timeout + 30)

    # -- crash and reboot -----------------------------------------------------------------------------------

    def crash(self, timeout: float = 900, cpu: int = 0) -> str:
        """Panic on a CPU and wait for the capture kernel's reboot, which ends QEMU.

        Returns what the console said meanwhile. Raises VmLost after `timeout` seconds.
        """
        before = self.console_log.stat().st_size
        self.start(f"exec taskset -c {cpu} sh -c {shlex.quote(PANIC)}")
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise VmLost(f"no reboot {timeout:.0f} s after the crash\n{self._last_words()}") from None
        return self.console_log.read_bytes()[before:].decode(errors="replace")

    def crash_into_system(self, timeout: float = BOOT_S) -> None:
        """Panic, with an image that boots the whole system, and wait until its agent answers. Raises VmLost."""
        self.start(PANIC)
        try:
            self.agent.wait_for("test -e /proc/vmcore", timeout)  # the kernel that dies may answer, too
        except VmLost:
            raise VmLost(f"no capture kernel that answers\n{self._last_words()}") from None

    def reboot(self, timeout: float = BOOT_S, dimms: tuple[int, ...] = ()) -> None:
        """Reboot in good order, as a new QEMU on the same disks; hotplugged devices are gone.

        `dimms` are there at boot, as hypervisors give a guest its memory; in MiB.
        """
        self._at_boot = dimms
        self.start("systemctl reboot")
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise VmLost(f"still there {timeout:.0f} s after `systemctl reboot`\n{self._last_words()}") from None
        self.__exit__(None, None, None)
        self._state = None
        self.__enter__()

    def power_off(self, timeout: float = BOOT_S) -> None:
        """Shut the guest down in good order; QEMU ends with it. Raises VmLost."""
        self.start("systemctl poweroff")
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise VmLost(f"still there {timeout:.0f} s after `systemctl poweroff`\n{self._last_words()}") from None

    def memory(self, first: int, size: int) -> bytes:
        """Return `size` bytes of physical memory from address `first`, also of a guest that has died."""
        path = self._disk.with_suffix(".memory")
        self.qmp.execute("pmemsave", val=first, size=size, filename=str(path))
        content = path.read_bytes()
        path.unlink()
        return content

    def inject_nmi(self) -> None:
        """Send a non-maskable interrupt to all CPUs; a panic only where kernel.unknown_nmi_panic says so."""
        self.qmp.execute("inject-nmi")

    def console_tail(self) -> str:
        """The last lines of the guest's console since this process started."""
        if not self.console_log.exists():
            return ""
        return self.console_log.read_bytes()[-3000:].decode(errors="replace")

    # -- freezing and restoring -----------------------------------------------------------------------------

    def freeze(self, state: Path) -> None:
        """Pause the running machine, idle, and save it to `state`: from there and its disk others go on."""
        self.run("sync")
        time.sleep(IDLE_S)
        self.qmp.execute("stop")
        self.qmp.execute("migrate-set-parameters", max_bandwidth=1 << 40)
        self.qmp.execute("migrate", uri=f"exec:exec cat > {shlex.quote(str(state))}")
        self._wait_migration()

    def resume(self) -> None:
        """Go on after `freeze`, which makes what was saved worthless: the disk changes."""
        self.qmp.execute("cont")

    def quit(self) -> None:
        """End QEMU in good order."""
        self.qmp.execute("quit")
        self._process.wait(60)

    def _restore(self) -> None:
        self._wait_migration()
        self.resume()

    def _wait_migration(self) -> None:
        deadline = time.monotonic() + RESTORE_S
        while (info := self.qmp.execute("query-migrate")).get("status") != "completed":
            if info.get("status") in {"failed", "cancelled"} or time.monotonic() > deadline:
                raise VmLost(f"the machine's state can't be moved: {info}")
            time.sleep(0.02)

    # -- the process ----------------------------------------------------------------------------------------

    def _command_line(self, control_fd: int, agent_fd: int) -> tuple[str, ...]:
        incoming = ("-incoming", f"exec:exec cat {shlex.quote(str(self._state))}") if self._state else ()
        return (
            *hardware.arguments(self.guest, hardware.accelerator(self.guest.arch, self._image.kernel)),
            *("-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd)),
            *("-drive", f"id=root,if=none,format=qcow2,file={self._disk}"),
            *("-drive", f"id=payload,if=none,format=raw,readonly=on,file={self._payload}"),
            *("-chardev", f"socket,id=control,fd={control_fd}", "-mon", "chardev=control,mode=control"),
            *("-chardev", f"socket,id=agent,fd={agent_fd}"),
            *("-chardev", f"file,id=console,path={self.console_log}"),
            *incoming,
            *_plugged(self._at_boot),
        )

    def _end(self) -> None:
        """End our QEMU, and only it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stderr and not self._process.stderr.closed:
            with self._process.stderr as stderr:
                self._said = stderr.read().decode(errors="replace")

    def _last_words(self) -> str:
        """What QEMU said if it has ended, and the end of the console: for the message of a VmLost."""
        if self._process.poll() is not None:
            self._end()
        return f"{self._said}{self.console_tail()}"


def _plugged(dimms: tuple[int, ...]) -> Iterator[str]:
    for n, mib in enumerate(dimms):
        yield from ("-object", f"memory-backend-ram,id=boot{n}-ram,size={mib}M")
        yield from ("-device", f"pc-dimm,id=boot{n},memdev=boot{n}-ram")
