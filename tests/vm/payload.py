# SPDX-License-Identifier: GPL-2.0-or-later
"""Our software on its way into a guest: the Debian package, in a repository on a raw disk, and its installation."""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.vm import deb, hardware
from tests.vm.guests import Guest
from tests.vm.qemu import Machine
from tests.vm.snapshot import Snapshot, derived

CHECKOUT = Path(__file__).parents[2]
BUILD = CHECKOUT / "build" / "vm"

MTIME = 1_600_000_000
"""Every file's, so that equal content is an equal archive."""

REPOSITORY = "/run/repository"
"""Where the repository is in a guest: in memory, and gone with the next boot."""

UNPACK = f"blockdev --flushbufs /dev/vdb; mkdir {REPOSITORY}; tar -x -C {REPOSITORY} -f /dev/vdb"

APT = (
    "DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes --no-install-recommends"
    " -o Dir::Etc::sourcelist={sources} -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root"
)

# Where no image can be loaded systemd does not start the listener.
NOT_STARTED = "systemctl show --property=ConditionResult kdumphpd.service | grep -qx ConditionResult=no"
FIRST_CHECK = """until grep -q '"checks": [1-9]' /run/kdumphpd/state.json; do sleep 0.5; done"""


class PayloadError(Exception):
    """What is to be installed is too large for the disk."""


@dataclass(frozen=True)
class Payload:
    """A disk image with our software, and a digest of what is on it."""

    disk: Path
    digest: str


def build(directory: Path, checkout: Path = CHECKOUT) -> Payload:
    """Pack a repository with the package of `checkout` into a disk image in `directory`."""
    return pack_repositories({".": deb.package(checkout)}, directory)


def pack_repositories(packages: dict[str, Path], directory: Path) -> Payload:
    """Pack a repository of one package for each folder into a disk image in `directory`."""
    with tempfile.TemporaryDirectory(prefix="kdumphpd-") as tree:
        for folder, package in packages.items():
            _write_repository(Path(tree) / folder, package, f"{REPOSITORY}/{folder}")
        return pack(Path(tree), directory)


def apt(command: str, folder: str = ".") -> str:
    """A line of /bin/sh that runs apt-get in a guest, with one of its repositories as the only source."""
    return f"{APT.format(sources=f'{REPOSITORY}/{folder}/sources.list')} {command}"


def install(guest: Guest, folder: str = ".") -> str:
    """Lines of /bin/sh that install, or upgrade, from a repository that was unpacked in the guest.

    Where no package was ever configured (foreign.py), apt finds nothing that it may build on; there dpkg unpacks ours
    and runs its maintainer scripts.
    """
    if guest.arch.uname == os.uname().machine:
        return f"{apt('update', folder)} && {apt('install kdumphpd', folder)}"
    return f"dpkg --force-depends --install {REPOSITORY}/{folder}/*.deb"


def _write_repository(directory: Path, package: Path, address: str) -> None:
    """Lay a package out as sources.list(5) wants it of `deb file:... ./`."""
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(package, directory)
    control = subprocess.run(("dpkg-deb", "--field", package), capture_output=True, text=True, check=True).stdout
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    file = f"Filename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n"
    (directory / "Packages").write_text(control + file)
    (directory / "sources.list").write_text(f"deb [trusted=yes] file:{address} ./\n")


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
    """Return `base` with our package installed, and running."""
    ready = FIRST_CHECK if base.guest.arch.kdump else NOT_STARTED
    script = f"set -e\n{UNPACK}\n{install(base.guest)}\n{ready}\nrm -r {REPOSITORY}"

    def prepare(machine: Machine) -> None:
        machine.run(script, timeout=300)

    return derived(base, BUILD / "installed", f"{payload.digest}{script}", payload.disk, prepare)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = MTIME
    return member
