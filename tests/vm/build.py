# SPDX-License-Identifier: GPL-2.0-or-later
"""Root images: Debian as mmdebstrap makes it, on an ext4 disk, with kernel and initrd beside it.

Works as root and, through user namespaces and fakeroot, as anybody. Packages come from wherever this
machine's own apt takes Debian from.
"""

import os
import platform
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.vm import cache
from tests.vm.guests import Guest
from tests.vm.recipe import CUSTOMIZE, DISK_MIB, EXCLUDED, FILES, MASKED, PACKAGES

AGENT = "guest_agent.py"


class BuildError(Exception):
    """An image could not be built; the message ends with what the failing tool said."""


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
    """Return the guest's image, built if the cache has none made by this very recipe."""
    here = Path(__file__)
    sources = (here.with_name(name).read_text() for name in (here.name, "recipe.py", AGENT))
    version = cache.key(guest, *sources)
    directory = cache.produce(
        cache.cache_root() / "images", guest.name, version, lambda partial: _build(guest, partial)
    )
    return Image(directory)


def apt_sources(guest: Guest) -> str:
    """One-line apt sources for the guest's suite at the addresses this machine gets Debian from.

    Raises BuildError where apt has no such address.
    """
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    wanted = "$(RELEASE) $(COMPONENT) $(REPO_URI)"
    listing = _run("apt-get", "indextargets", "--format", wanted, "Created-By: Packages")
    lines = set()
    for release, component, uri in (line.split(maxsplit=2) for line in listing.splitlines()):
        if component == "main" and release in {codename, f"{codename}-updates", f"{codename}-security"}:
            lines.add(f"deb {uri} {guest.suite}{release.removeprefix(codename)} main\n")
            if release == codename and guest.backports:
                lines.add(f"deb {uri} {guest.suite}-backports main\n")
    if not lines:
        raise BuildError(f"apt has no source for Debian {codename!r} (see `apt-get indextargets`)")
    return "".join(sorted(lines))


def _build(guest: Guest, directory: Path) -> None:
    overlay = directory / "overlay"
    _write_overlay(overlay)
    sources = directory / "sources.list"
    sources.write_text(apt_sources(guest))
    rootfs = directory / "rootfs.tar"
    _run(
        *("mmdebstrap", "--variant=essential", "--format=tar", f"--architectures={guest.arch.debian}"),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
        *("--dpkgopt=force-unsafe-io", '--aptopt=Acquire::Check-Valid-Until "false"'),
        *("--skip=cleanup/reproducible/machine-id",),
        f"--essential-hook=sync-in {overlay} /",
        f"--include={','.join((*PACKAGES, guest.kernel_package))}",
        f"--customize-hook={CUSTOMIZE}",
        *(guest.suite, str(rootfs), str(sources)),
    )
    _extract_boot(rootfs, guest.arch.kernel_image, directory)
    _make_disk(rootfs, directory / "disk.raw")
    rootfs.unlink()
    shutil.rmtree(overlay)


def _write_overlay(root: Path) -> None:
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    agent = root / "usr/local/lib" / AGENT
    agent.parent.mkdir(parents=True)
    shutil.copyfile(Path(__file__).with_name(AGENT), agent)
    units = root / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).symlink_to("/dev/null")
    _run("chmod", "-R", "a+rX", str(root))  # whatever the umask


def _extract_boot(rootfs: Path, kernel_image: str, directory: Path) -> None:
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


def _make_disk(rootfs: Path, disk: Path) -> None:
    """Make an ext4 disk of the tar archive; nothing is mounted. The kernel fills /dev itself.

    fakeroot only pretends: what nobody may read, like /etc/shadow, its owner must be allowed to.
    """
    tree = disk.with_suffix(".tree")
    tree.mkdir(mode=0o755)
    script = """
    tar -x -p --numeric-owner --exclude="./dev/*" -C "$1" -f "$2"
    chmod -R u+rX "$1"
    mke2fs -q -t ext4 -d "$1" "$3" "$4M"
    """
    fakeroot = () if os.geteuid() == 0 else ("fakeroot", "--")
    _run(*fakeroot, "sh", "-e", "-c", script, "sh", str(tree), str(rootfs), str(disk), str(DISK_MIB))
    shutil.rmtree(tree)


def _run(*command: str) -> str:
    """Run a tool and return what it printed. Raises BuildError with its last words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is not installed: see tests/packages.txt") from error
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise BuildError(f"{command[0]} failed with exit code {done.returncode}:\n{last}")
    return done.stdout
