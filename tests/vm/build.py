# SPDX-License-Identifier: GPL-2.0-or-later
"""Root images: Debian as mmdebstrap makes it, on an ext4 disk, with kernel and initrd beside it.

Works as root and, through user namespaces and fakeroot, as anybody. Packages come from wherever this
machine's own apt takes Debian from (sources.py).
"""

import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.vm import cache, selinux, sources
from tests.vm.guests import Guest
from tests.vm.recipe import CUSTOMIZE, DISK_MIB, EXCLUDED, FILES, MASKED, PACKAGES
from tests.vm.tool import BuildError, run

AGENT = "guest_agent.py"

# $1 is a new directory, $2 the tar archive, $3 the disk and $4 its size in MiB.
MAKE_DISK = """
tar -x -p --numeric-owner --exclude="./dev/*" -C "$1" -f "$2"
chmod -R u+rX "$1"
mke2fs -q -t ext4 -d "$1" "$3" "$4M"
"""


@dataclass(frozen=True)
class Image:
    """A guest's disk (raw, never written to) with the kernel and the initrd that boot it."""

    directory: Path

    @property
    def disk(self) -> Path:
        return self.directory / "disk.raw"

    @property
    def kernel(self) -> Path:
        return self.directory / "kernel"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd"


def image(guest: Guest) -> Image:
    """Return the guest's image, built if the cache has none made by this very recipe.

    The cache's key is of what decides the content, not of where it comes from, nor of this file.
    """
    directory = cache.produce(
        cache.cache_root() / "images",
        guest.name,
        cache.key(guest, *recipe(), *_arguments(guest), MAKE_DISK, *_own(guest).values()),
        lambda partial: _build(guest, partial),
    )
    return Image(directory)


def recipe() -> tuple[str, ...]:
    """What goes into every image."""
    return tuple(Path(__file__).with_name(name).read_text() for name in ("recipe.py", AGENT))


def _build(guest: Guest, directory: Path) -> None:
    overlay = directory / "overlay"
    write_overlay(overlay, FILES | _own(guest))
    rootfs = directory / "rootfs.tar"
    listed = directory / "sources.list"

    def unpack(lines: str) -> None:
        listed.write_text(lines)
        hook = f"--essential-hook=sync-in {overlay} /"
        run("mmdebstrap", *_arguments(guest), hook, guest.suite, str(rootfs), str(listed))

    sources.first_that_works(guest, unpack, updates=True)
    extract_boot(rootfs, guest.arch.kernel_image, directory)
    make_disk(rootfs, directory / "disk.raw")
    rootfs.unlink()
    shutil.rmtree(overlay)


def _arguments(guest: Guest) -> tuple[str, ...]:
    """mmdebstrap's, as far as they are no files."""
    packages = (*PACKAGES, *(selinux.PACKAGES if guest.selinux else ()), guest.kernel_package)
    return (
        *("--variant=essential", "--format=tar", f"--architectures={guest.arch.debian}"),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
        *("--dpkgopt=force-unsafe-io", '--aptopt=Acquire::Check-Valid-Until "false"'),
        *("--skip=cleanup/reproducible/machine-id",),
        f"--include={','.join(packages)}",
        f"--customize-hook={CUSTOMIZE}",
        *(f"--customize-hook={hook}" for hook in ((selinux.CUSTOMIZE,) if guest.selinux else ())),
    )


def _own(guest: Guest) -> dict[str, str]:
    """What this guest alone has, besides recipe.FILES."""
    return selinux.FILES if guest.selinux else {}


def write_overlay(root: Path, files: dict[str, str] = FILES) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    agent = root / "usr/local/lib" / AGENT
    agent.parent.mkdir(parents=True)
    shutil.copyfile(Path(__file__).with_name(AGENT), agent)
    units = root / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).symlink_to("/dev/null")
    run("chmod", "-R", "a+rX", str(root))  # whatever the umask


def extract_boot(rootfs: Path, kernel_image: str, directory: Path) -> None:
    wanted = {f"./boot/{kernel_image}": "kernel", "./boot/initrd.img-": "initrd"}
    with tarfile.open(rootfs) as tar:
        for member in tar:
            for prefix, name in wanted.items():
                if member.isfile() and member.name.startswith(prefix):
                    with (directory / name).open("wb") as out:
                        shutil.copyfileobj(tar.extractfile(member), out)  # type: ignore[arg-type]
    for name in wanted.values():
        if not (directory / name).exists():
            raise BuildError(f"the guest's /boot has no {name}")


def make_disk(rootfs: Path, disk: Path) -> None:
    """Make an ext4 disk of the tar archive; nothing is mounted. The kernel fills /dev itself.

    fakeroot only pretends: what nobody may read, like /etc/shadow, its owner must be allowed to.
    """
    tree = disk.with_suffix(".tree")
    tree.mkdir(mode=0o755)
    fakeroot = () if os.geteuid() == 0 else ("fakeroot", "--")
    run(*fakeroot, "sh", "-e", "-c", MAKE_DISK, "sh", str(tree), str(rootfs), str(disk), str(DISK_MIB))
    shutil.rmtree(tree)
