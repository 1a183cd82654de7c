# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine with the files of an image."""

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from kdumphpd.load import files
from kdumphpd.load.files import FileIdentity
from kdumphpd.load.run import NotReady
from tests.unit.load.archives import packed
from tests.unit.load.test_kernel_file import bzimage

MIB = 1 << 20
KERNEL, INITRD = Path("/boot/vmlinuz"), Path("/var/lib/kdump/initrd.img")
NEED = 62 * MIB  # the kernel's init_size, one MiB that goes with it, and the initrd to whole pages
LATER = 1000.0  # seconds after the files were written


def machine(folder: Path) -> Path:
    """A machine with a kernel and an initrd that can be loaded."""
    for path, data in ((KERNEL, bzimage(8192, 60 * MIB)), (INITRD, packed("zstd", 1000))):
        file = folder / str(path).lstrip("/")
        file.parent.mkdir(parents=True)
        file.write_bytes(data)
    return folder


def at(root: Path, path: Path) -> Path:
    return root / str(path).lstrip("/")


def check(
    root: Path,
    kernel: Path = KERNEL,
    initrd: Path | None = INITRD,
    reservation: int | None = None,
    known: Mapping[str, FileIdentity] | None = None,
) -> dict[str, FileIdentity]:
    """When nobody has written them for long."""
    return files.check(
        root,
        kernel,
        initrd,
        reservation,
        known or {},
        lambda seconds: pytest.fail("waited"),
        lambda: time.time() + LATER,
    )


def refusal(root: Path, kernel: Path = KERNEL, initrd: Path | None = INITRD, reservation: int | None = None) -> str:
    with pytest.raises(NotReady) as caught:
        check(root, kernel, initrd, reservation)
    return str(caught.value)
