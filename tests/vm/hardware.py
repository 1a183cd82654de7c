# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual machine as QEMU's arguments: whatever of it a saved state depends on."""

import functools
import os
import subprocess
from pathlib import Path

from tests.vm import cache
from tests.vm.guests import Arch, Guest

TCG = "tcg,thread=multi"
KVM_PROBE_S = 15.0

PAYLOAD_BYTES = 8 << 20
"""Size of the second disk: a part of the machine, so the same in every run that restores a state."""


def arguments(guest: Guest, accelerator: str) -> tuple[str, ...]:
    """The machine without what differs from run to run: files, sockets and the state to start from.

    Expects drives `root` and `payload`, and character devices `agent` and `console`.
    """
    arch = guest.arch
    security = " security=selinux enforcing=1" if guest.selinux else ""
    return (
        *(arch.qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *(*arch.machine, "-accel", accelerator, "-rtc", "clock=vm"),
        *(arch.emulated if accelerator == TCG else ()),
        *("-append", f"root=/dev/vda rw console={arch.console} crashkernel={guest.crashkernel} quiet{security}"),
        *("-device", f"virtio-blk-{arch.virtio},drive=root", "-device", f"virtio-blk-{arch.virtio},drive=payload"),
        *("-device", f"virtio-serial-{arch.virtio}"),
        *("-device", "virtserialport,chardev=agent,name=agent"),
        *("-serial", "chardev:console"),
    )


@functools.cache
def version(arch: Arch) -> str:
    """QEMU's version: another one may not understand a saved state."""
    return subprocess.run((arch.qemu, "--version"), capture_output=True, text=True, check=True).stdout


@functools.cache
def accelerator(arch: Arch, kernel: Path) -> str:
    """KVM where a kernel of the guest's really runs in it, else emulation; tried once a boot of this host."""
    if arch.uname != os.uname().machine or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return TCG
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    directory = cache.produce(
        cache.cache_root() / "accelerator",
        arch.debian,
        cache.key(version(arch), boot),
        lambda partial: _probe_kvm(arch, kernel, partial / "accelerator"),
    )
    return (directory / "accelerator").read_text()


def _probe_kvm(arch: Arch, kernel: Path, result: Path) -> None:
    """Boot a kernel in KVM up to its panic for want of a root file system.

    Less proves nothing: a /dev/kvm that opens and makes machines may still fail, or hang, in the guest's
    first instructions.
    """
    command = (
        *(arch.qemu, "-nodefaults", "-display", "none", "-no-reboot", "-accel", "kvm", "-m", "512M"),
        *("-kernel", str(kernel), "-append", f"console={arch.console} panic=-1"),
        *("-serial", "stdio"),
    )
    try:
        probe = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=KVM_PROBE_S, check=False
        )
    except subprocess.TimeoutExpired:
        result.write_text(TCG)
    else:
        result.write_text("kvm" if "Unable to mount root fs" in probe.stdout else TCG)
