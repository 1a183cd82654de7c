# SPDX-License-Identifier: GPL-2.0-or-later
"""The least initrd that boots a root file system, made without running any of the guest's code.

BusyBox, the modules, and a script. The capture kernel's initrd is another matter: the guest makes that itself.
"""

import lzma
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MODULES = ("crc32c_generic", "ext4", "virtio_blk")
"""With whatever they depend on. ext4 takes its checksums from whoever offers crc32c."""

# The kernel has made /dev and /dev/console already.
INIT = """\
#!/bin/busybox sh
busybox mount -t devtmpfs none /dev
for module in /modules/*; do busybox insmod $module; done
until [ -b /dev/vda ]; do busybox sleep 0.1; done
busybox mount -t ext4 /dev/vda /root
busybox mount --move /dev /root/dev
exec busybox switch_root /root /sbin/init
"""

S_IFDIR, S_IFREG = 0o040000, 0o100000


@dataclass(frozen=True)
class Entry:
    """A file or, with no content, a directory."""

    name: str
    content: bytes | None = None
    mode: int = 0o755


def main(root: Path, *transport: str) -> None:
    """Write /boot/initrd.img-VERSION of the system below `root`, which has one kernel and its modules.dep.

    `transport`: modules that MODULES need on that machine.
    """
    [folder] = (root / "usr/lib/modules").iterdir()
    entries = [
        *(Entry(name) for name in ("bin", "modules", "root")),
        Entry("bin/busybox", (root / "usr/bin/busybox").read_bytes()),
        Entry("init", INIT.encode()),
    ]
    for number, path in enumerate(modules(folder, (*transport, *MODULES))):
        content = path.read_bytes()
        module = lzma.decompress(content) if path.suffix == ".xz" else content  # bookworm's are not compressed
        entries.append(Entry(f"modules/{number:02}-{path.name}", module))
    archive = b"".join(map(newc, (*entries, Entry("TRAILER!!!", b"", 0))))
    (root / "boot" / f"initrd.img-{folder.name}").write_bytes(archive)


def modules(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """Those of `names` that are not part of the kernel, each after those it needs.

    `folder` is the kernel's /lib/modules.
    """
    needs: dict[str, list[Path]] = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        # modprobe loads what stands in a line from its end to its beginning.
        needs[Path(path).name.partition(".")[0]] = [folder / name for name in (path, *others.split())][::-1]
    builtin = {Path(line).stem for line in (folder / "modules.builtin").read_text().splitlines()}
    ordered = (path for name in names if name not in builtin for path in needs[name])
    yield from dict.fromkeys(ordered)


def newc(entry: Entry) -> bytes:
    """One member of a cpio archive (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    name = entry.name.encode() + b"\0"
    content = entry.content or b""
    mode = entry.mode | (S_IFDIR if entry.content is None else S_IFREG)
    # ino, mode, uid, gid, nlink, mtime, filesize, two pairs of device numbers, namesize, check
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return _padded(header) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
