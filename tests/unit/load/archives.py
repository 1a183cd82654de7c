# SPDX-License-Identifier: GPL-2.0-or-later
"""What an initrd is made of, made by the tools that make it on a real machine."""

import random
import subprocess
from functools import cache

PACKERS: dict[str, tuple[str, ...]] = {
    "gzip": ("gzip", "-c"),
    "bzip2": ("bzip2", "-c"),
    "xz": ("xz", "--check=crc32", "-c"),
    "xz, as dracut": ("xz", "--check=crc32", "--lzma2=dict=1MiB", "-T0", "-c"),
    "zstd": ("zstd", "-q", "-c"),
    "zstd, no checksum": ("zstd", "-q", "--no-check", "-c"),
    "lz4": ("lz4", "-q", "-l", "-c"),
    "lz4 frame": ("lz4", "-q", "-c"),
}


def entry(name: str, body: bytes) -> bytes:
    """A file of a cpio archive in the format "newc"."""
    fields = [1, 0o100644, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    head += bytes(-len(head) % 4)
    return head + body + bytes(-len(body) % 4)


@cache
def cpio(size: int) -> bytes:
    """An archive of a file that is random, one of zeros and one of text, padded to 512 bytes as cpio does it."""
    text = b"".join(b"%d of %d\n" % (n, n * n) for n in range(size // 16))
    members = [("random", random.Random(size).randbytes(size)), ("zeros", bytes(size)), ("text", text)]
    archive = b"".join(entry(name, body) for name, body in [*members, ("TRAILER!!!", b"")])
    return archive + bytes(-len(archive) % 512)


@cache
def packed(kind: str, size: int) -> bytes:
    """That archive, compressed."""
    return subprocess.run(PACKERS[kind], input=cpio(size), stdout=subprocess.PIPE, check=True).stdout
