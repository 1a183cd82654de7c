# SPDX-License-Identifier: GPL-2.0-or-later
"""Our software on its way into a guest: a tar archive on a raw disk, and the commands that install it."""

import hashlib
import os
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.vm import hardware
from tests.vm.qemu import Machine
from tests.vm.snapshot import Snapshot, derived

CHECKOUT = Path(__file__).parents[2]
BUILD = CHECKOUT / "build" / "vm"

MTIME = 1_600_000_000
"""Every file's, so that equal content is an equal archive."""

INSTALL = """
blockdev --flushbufs /dev/vdb
tar -x -C / --keep-directory-symlink --no-overwrite-dir -f /dev/vdb
python3 -m compileall -q "$(python3 -c 'import os, kdumphpd; print(os.path.dirname(kdumphpd.__file__))')"
systemd-sysusers
systemd-tmpfiles --create
journalctl --update-catalog
systemctl daemon-reload
udevadm control --reload
systemctl enable --now kdumphpd.service
until grep -q '"storms": [1-9]' /run/kdumphpd/state.json; do sleep 0.5; done
"""
"""What a package's maintainer scripts would do, as one script of /bin/sh -e; then the listener's first look."""


class PayloadError(Exception):
    """`make install` failed, or what it installs is too large for the disk."""


@dataclass(frozen=True)
class Payload:
    """A disk image with our software, and a digest of what is on it."""

    disk: Path
    digest: str


def build(directory: Path, checkout: Path = CHECKOUT) -> Payload:
    """Install `checkout` into a temporary tree and pack that into a disk image in `directory`."""
    with tempfile.TemporaryDirectory(prefix="kdumphpd-") as tree:
        command = ("make", "-C", str(checkout), "install", f"DESTDIR={tree}", "PREFIX=/usr")
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise PayloadError(f"make install failed with exit code {done.returncode}:\n{done.stdout[-3000:]}")
        return pack(Path(tree), directory)


def pack(tree: Path, directory: Path) -> Payload:
    """Pack a tree, owned by root whoever owns it here, into a disk image of the fixed size."""
    disk = directory / "payload.raw"
    with tarfile.open(disk, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(tree.rglob("*")):
            if "__pycache__" not in path.parts:
                tar.add(path, arcname=str(path.relative_to(tree)), recursive=False, filter=_anonymous)
    digest = hashlib.sha256(disk.read_bytes()).hexdigest()
    if disk.stat().st_size > hardware.PAYLOAD_BYTES:
        raise PayloadError(f"{disk.stat().st_size} bytes do not fit into {hardware.PAYLOAD_BYTES}")
    os.truncate(disk, hardware.PAYLOAD_BYTES)
    return Payload(disk, digest)


def installed(base: Snapshot, payload: Payload) -> Snapshot:
    """Return `base` with our software installed and running."""

    def install(machine: Machine) -> None:
        machine.run(f"set -e\n{INSTALL}", timeout=300)

    return derived(base, BUILD / "installed", f"{payload.digest}{INSTALL}", payload.disk, install)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = MTIME
    return member
