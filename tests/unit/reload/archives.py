# SPDX-License-Identifier: GPL-2.0-or-later
"""What an initrd is made of, made by the tools that make it on a real machine."""

import bz2
import gzip
import lzma
import random
import struct
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from kdumphpd.reload.content import Content

Packer = Callable[[bytes], bytes]


def content(data: bytes) -> Content:
    return Content(len(data), lambda at, size: data[at : at + size])


def piped(*argv: str) -> Packer:
    """A compressor that reads and writes a pipe, as the tools that build initrds call it."""
    return lambda data: subprocess.run(argv, input=data, stdout=subprocess.PIPE, check=True).stdout


def members(*pack: Packer) -> Packer:
    """Several archives of one kind, each with a part of the data, one straight after the other."""

    def packed(data: bytes) -> bytes:
        middle = len(data) // 2
        return b"".join(packer(part) for packer, part in zip(pack, (data[:middle], data[middle:]), strict=True))

    return packed


def file_to_file(*argv: str) -> Packer:
    """A compressor that is given a file, so that it knows the size of what is to come."""

    def packed(data: bytes) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "data")
            path.write_bytes(data)
            return subprocess.run([*argv, str(path)], stdout=subprocess.PIPE, check=True).stdout

    return packed


def skippable(data: bytes) -> bytes:
    return b"\x5a\x2a\x4d\x18" + struct.pack("<I", len(data)) + data


def with_skippable(data: bytes) -> bytes:
    return skippable(b"an index") + SINGLE["zstd"](data) + skippable(b"another")


# One archive: only its own end ends it.
SINGLE: dict[str, Packer] = {
    "gzip": lambda data: gzip.compress(data, 6),
    "gzip tool": file_to_file("gzip", "-c"),
    "gzip stored": lambda data: gzip.compress(data, 0),
    "bzip2": bz2.compress,
    "xz": piped("xz", "--check=crc32"),
    "xz, as dracut": piped("xz", "--check=crc32", "--lzma2=dict=1MiB", "-T0"),
    "zstd": piped("zstd", "-q", "-3"),
    "zstd, size known": file_to_file("zstd", "-q", "-c", "-9", "-T2"),
    "zstd, no checksum": piped("zstd", "-q", "--no-check", "--fast"),
    "lz4": piped("lz4", "-q", "-l"),
    "lz4 frame": piped("lz4", "-q", "-B4"),
    "lz4 frame, checksums": file_to_file("lz4", "-q", "-c", "-BX", "-B5", "--content-size"),
    "lz4 frame, no checksum": piped("lz4", "-q", "--no-frame-crc"),
}

# Several, with nothing between them.
COMPRESSED: dict[str, Packer] = SINGLE | {
    "gzip members": members(gzip.compress, gzip.compress),
    "xz streams": members(lzma.compress, lzma.compress),
    "zstd frames": members(piped("zstd", "-q"), file_to_file("zstd", "-q", "-c")),
    "zstd, skippable": with_skippable,
    "lz4, twice": members(piped("lz4", "-q", "-l"), piped("lz4", "-q", "-l", "-9")),
}


def cpio(folder: Path, form: str = "newc") -> bytes:
    """An archive of all that is in the folder."""
    names = [".", *sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))]
    argv = ["cpio", "--create", f"--format={form}", "--quiet", "--null"]
    listed = "\0".join(names).encode() + b"\0"
    return subprocess.run(argv, cwd=folder, input=listed, stdout=subprocess.PIPE, check=True).stdout


@cache
def tree(size: int, form: str = "newc") -> bytes:
    """An archive of files, a link and a folder; one file is random, of `size` bytes, and one of zeros."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "usr/lib").mkdir(parents=True)
        (folder / "init").write_text("#!/bin/sh\nexec /usr/bin/makedumpfile\n")
        (folder / "usr/lib/empty").touch()
        (folder / "usr/lib/random").write_bytes(random.Random(size).randbytes(size))
        (folder / "usr/lib/zeros").write_bytes(bytes(size))
        (folder / "usr/lib/text").write_bytes(b"".join(b"%d of %d\n" % (n, n * n) for n in range(size // 16)))
        (folder / "lib").symlink_to("usr/lib")
        return cpio(folder, form)


@cache
def packed(kind: str, size: int) -> bytes:
    """That archive, compressed."""
    return COMPRESSED[kind](tree(size))


@cache
def early() -> bytes:
    """What dracut and Debian put in front: microcode, uncompressed, padded to 512 bytes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "kernel/x86/microcode").mkdir(parents=True)
        (folder / "kernel/x86/microcode/GenuineIntel.bin").write_bytes(random.Random(0).randbytes(999))
        return cpio(folder)


def end_of_trailer(archive: bytes) -> int:
    """The least that is needed of an archive of cpio; zeros follow."""
    return archive.rindex(b"TRAILER!!!\0") + 11
