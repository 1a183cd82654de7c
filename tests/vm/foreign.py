# SPDX-License-Identifier: GPL-2.0-or-later
"""Root images for an architecture that this machine cannot run: unpacked, with no code of theirs run on the way.

No maintainer script runs, so what they would have made is made here, by tools of this machine; systemd makes its
part (users, tmpfiles, ld.so.cache) and kdump-tools its initrd when the guest boots for the first time.
"""

import shutil
from pathlib import Path

from tests.vm import build, cache, sources
from tests.vm.build import Image
from tests.vm.guests import Guest
from tests.vm.recipe import EXCLUDED, PACKAGES
from tests.vm.tool import run

# What debootstrap's variants have without being asked, as far as the guest needs it, and what initrd.py needs.
ADDITIONAL = ("e2fsprogs", "busybox-static")

# Foreign ones beyond recipe.EXCLUDED.
EXCLUDED_FOREIGN = ("*/lib/modules/*/kernel/arch/*/kvm/*",)

INITRD = "usr/local/lib/initrd.py"

TRANSPORT = "usr/share/initramfs-tools/modules.d/transport"

# $1 is the new root, {modules} what initrd.py is told of it. "which" and "awk" are Debian's alternatives.
UNPACKED = """
set -e
umask 022
cd "$1"
chown -R 0:0 etc usr/local/lib
cp usr/share/base-passwd/passwd.master etc/passwd
cp usr/share/base-passwd/group.master etc/group
sed 's/:.*/:*:19000:0:99999:7:::/' etc/passwd > etc/shadow
chmod 640 etc/shadow
ln -s ../run var/run
ln -s ../run/lock var/lock
ln -s mawk usr/bin/awk
ln -s which.debianutils usr/bin/which
cp usr/share/kdump-tools/kdump-tools.conf etc/default/kdump-tools
mkdir -p etc/systemd/system/basic.target.wants
ln -s /usr/lib/systemd/system/kdump-tools.service etc/systemd/system/basic.target.wants
depmod -b . "$(ls usr/lib/modules)"
python3 {initrd} . {modules}
rm {initrd}
"""

# Python as packages unpack it is source alone, and to compile that in emulation takes seconds for every command.
# Only root may keep what was compiled, so it is root who imports it all once, at the first boot.
WARM_UP = """\
[Unit]
Description=Compile what Python will be asked for
ConditionPathExists=!/var/lib/warm
[Service]
Type=oneshot
ExecStart=python3 -m compileall -q -j 2 /usr/lib/python3
ExecStart=python3 -c 'import asyncio, argparse, tomllib, pydantic.dataclasses, pyudev, structlog, systemd.journal'
ExecStart=touch /var/lib/warm
"""


def image(guest: Guest) -> Image:
    """Return the guest's image, built if the cache has none made by this very recipe; see build.image()."""
    directory = cache.produce(
        cache.cache_root() / "images",
        guest.name,
        cache.key(
            *(guest, *build.recipe(), _initrd().read_text(), WARM_UP, *_arguments(guest)),
            *(_unpacked(guest), build.MAKE_DISK),
        ),
        lambda partial: _build(guest, partial),
    )
    return Image(directory)


def _build(guest: Guest, directory: Path) -> None:
    overlay = directory / "overlay"
    build.write_overlay(overlay)
    units = overlay / "etc/systemd/system"
    (units / "warm-up.service").write_text(WARM_UP)
    (units / "multi-user.target.wants").mkdir()
    (units / "multi-user.target.wants/warm-up.service").symlink_to("../warm-up.service")
    shutil.copyfile(_initrd(), overlay / INITRD)
    # For the capture kernel's initrd.
    (overlay / TRANSPORT).write_text("".join(f"{name}\n" for name in guest.arch.transport))
    run("chmod", "-R", "a+rX", str(overlay))  # whatever the umask
    rootfs = directory / "rootfs.tar"
    listed = directory / "sources.list"

    def unpack(lines: str) -> None:
        listed.write_text(lines)
        hooks = (f"--extract-hook=sync-in {overlay} /", f"--extract-hook={_unpacked(guest)}")
        run("mmdebstrap", *_arguments(guest), *hooks, guest.suite, str(rootfs), str(listed))

    # The release first: mirrors may lack the updates of architectures that nobody there uses.
    sources.first_that_works(guest, unpack, updates=False)
    build.extract_boot(rootfs, guest.arch.kernel_image, directory)
    build.make_disk(rootfs, directory / "disk.raw")
    rootfs.unlink()
    shutil.rmtree(overlay)


def _arguments(guest: Guest) -> tuple[str, ...]:
    """mmdebstrap's, as far as they are no hooks of ours and no files."""
    return (
        # Later releases bring the links from /bin, /lib and /sbin into /usr along in a package.
        *(("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",) if guest.suite == "bookworm" else ()),
        *("--variant=extract", "--format=tar", f"--architectures={guest.arch.debian}"),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in (*EXCLUDED, *EXCLUDED_FOREIGN)),
        *('--aptopt=Acquire::Check-Valid-Until "false"', "--skip=cleanup/reproducible/machine-id"),
        "--include=?essential",  # one that holds a pattern holds nothing else
        f"--include={','.join((*PACKAGES, *ADDITIONAL, guest.kernel_package))}",
    )


def _unpacked(guest: Guest) -> str:
    return UNPACKED.format(initrd=INITRD, modules=" ".join(guest.arch.transport))


def _initrd() -> Path:
    return Path(__file__).with_name("initrd.py")
