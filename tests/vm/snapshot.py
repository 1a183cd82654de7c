# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that go on where a cached one was frozen: a boot takes a minute or two, a restore a second.

A snapshot is a directory of two files that nothing writes to again: `disk.qcow2`, an overlay over the disk
it started from, and `state`, the rest of the machine. Who restores it works on an overlay of its own, so
any number of machines can at once.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.vm import build, cache, foreign, hardware, selinux
from tests.vm.agent import CommandTimeout
from tests.vm.build import Image
from tests.vm.channel import VmLost
from tests.vm.guests import Guest
from tests.vm.qemu import Machine

FREEZES = 8
TRIAL_S = 15.0

# What a booted guest must be before it is frozen: done with booting, kdump armed, and quiet.
SETTLE = """
systemctl is-system-running --wait; systemctl --failed --no-legend >&2
udevadm settle
[ "$(cat /sys/kernel/kexec_crash_loaded)" = 1 ] || { journalctl -b -u kdump-tools >&2; exit 1; }
"""

SETTLE_WITHOUT_KDUMP = """
systemctl is-system-running --wait; systemctl --failed --no-legend >&2
udevadm settle
[ ! -e /sys/kernel/kexec_crash_loaded ]
"""


@dataclass(frozen=True)
class Snapshot:
    """A frozen machine."""

    guest: Guest
    image: Image
    directory: Path

    @property
    def disk(self) -> Path:
        return self.directory / "disk.qcow2"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @contextmanager
    def restored(self, workdir: Path, payload: Path | None = None) -> Iterator[Machine]:
        """Let the machine go on, with its files in `workdir` and `payload` as its second disk."""
        workdir.mkdir(parents=True, exist_ok=True)
        disk = _overlay(self.disk, "qcow2", workdir / "disk.qcow2")
        second = payload or _no_payload(workdir)
        with Machine(self.guest, self.image, disk=disk, payload=second, state=self.state) as machine:
            yield machine


def twice(prepare: Callable[[], Snapshot]) -> Snapshot:
    """Return what `prepare` makes, made again where the first VM was lost."""
    try:
        return prepare()
    except VmLost:
        return prepare()


def booted(guest: Guest) -> Snapshot:
    """Return the guest as it is after its boot, without our software. Raises BuildError and VmLost."""
    native = guest.arch.uname == os.uname().machine
    image = build.image(guest) if native else foreign.image(guest)
    accelerator = hardware.accelerator(guest.arch, image.kernel)
    settle = SETTLE if guest.arch.kdump else SETTLE_WITHOUT_KDUMP
    version = cache.key(
        image.directory,
        hardware.version(guest.arch),
        *hardware.arguments(guest, accelerator),
        settle,
        *_first_boot(guest),
    )

    def boot(directory: Path) -> None:
        disk = _overlay(image.disk, "raw", directory / "disk.qcow2")
        for script in _first_boot(guest):
            with Machine(replace(guest, selinux=False), image, disk=disk, payload=_no_payload(directory)) as machine:
                machine.run(script, timeout=600)
                machine.power_off()
        with Machine(guest, image, disk=disk, payload=_no_payload(directory)) as machine:
            machine.run(settle, timeout=600)
            _freeze(machine, Snapshot(guest, image, directory))

    return Snapshot(guest, image, cache.produce(cache.cache_root() / "booted", guest.name, version, boot))


def derived(
    base: Snapshot, parent: Path, version: str, payload: Path | None, prepare: Callable[[Machine], None]
) -> Snapshot:
    """Return `base` after `prepare(machine)`, made anew in `parent` when the base or `version` changes."""

    def make(directory: Path) -> None:
        with base.restored(directory, payload) as machine:
            prepare(machine)
            _freeze(machine, Snapshot(base.guest, base.image, directory), payload)

    version = cache.key(base.directory, version)
    return Snapshot(base.guest, base.image, cache.produce(parent, base.guest.name, version, make))


def _freeze(machine: Machine, snapshot: Snapshot, payload: Path | None = None) -> None:
    """Save `machine` as `snapshot`, and end it. Raises VmLost.

    A saved state is tried before it is kept. QEMU before 8.1 does not save the decrementer of an emulated PowerPC,
    so the timer interrupt that the guest waits for never comes; it depends on the moment whether the guest, once it
    goes on, finds a reason to program the decrementer anew. A guest that is idle mostly does.
    """
    for _ in range(FREEZES):
        machine.freeze(snapshot.state)
        with (
            tempfile.TemporaryDirectory(prefix="trial-", dir=snapshot.directory) as workdir,
            contextlib.suppress(VmLost, CommandTimeout),
            snapshot.restored(Path(workdir), payload) as trial,
        ):
            trial.run("sleep 0.1; sleep 1", timeout=TRIAL_S)
            machine.quit()
            return
        machine.resume()
    raise VmLost(f"none of {FREEZES} saved states of {snapshot.guest.name} went on as they should")


def _first_boot(guest: Guest) -> tuple[str, ...]:
    """What is done in a boot before the one that is frozen."""
    return (selinux.RELABEL,) if guest.selinux else ()


def _overlay(backing: Path, form: str, disk: Path) -> Path:
    disk.unlink(missing_ok=True)
    command = ("qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", str(backing), str(disk))
    subprocess.run(command, check=True)
    return disk


def _no_payload(directory: Path) -> Path:
    path = directory / "no-payload"
    with path.open("wb") as file:
        file.truncate(hardware.PAYLOAD_BYTES)
    return path
