# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel errors of updates of the image that failed: a printk is all that the kernel says of them.

Source: Documentation/ABI/testing/dev-kmsg; the "crash hp: " prefix of kernel/crash_core.c and of the
architectures' handlers.
"""

import os
from dataclasses import dataclass
from pathlib import Path

KMSG = "dev/kmsg"
PREFIX = "crash hp: "

# At these levels every such message says that an update did not happen; what goes well is said with pr_debug().
DEBUG = 7
KERNEL = 0  # the facility that what is written to /dev/kmsg never gets

MAX_RECORD = 8192  # bytes; CONSOLE_EXT_LOG_MAX, a shorter buffer gets EINVAL


@dataclass(frozen=True, slots=True)
class KernelError:
    """A "crash hp:" message of an update that failed. `sequence` numbers the kernel's messages since boot."""

    sequence: int
    text: str


def kernel_errors(root: Path, after: int = -1) -> list[KernelError]:
    """The errors in the kernel's ring buffer with a sequence number above `after`, oldest first.

    Raises OSError where the buffer can't be read.
    """
    found: list[KernelError] = []
    descriptor = os.open(root / KMSG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while True:
            try:
                record = os.read(descriptor, MAX_RECORD)
            except BlockingIOError:
                return found  # the end
            except BrokenPipeError:
                continue  # overwritten while we read; the next read goes on with the oldest that is left
            if not record:
                return found
            if (error := parse(record)) is not None and error.sequence > after:
                found.append(error)
    finally:
        os.close(descriptor)


def parse(record: bytes) -> KernelError | None:
    """The error that a record of /dev/kmsg holds; None for every other message, and for no record at all."""
    head, _, body = record.decode("utf-8", "replace").partition(";")
    text = body.partition("\n")[0]
    fields = head.split(",")
    if not text.startswith(PREFIX) or len(fields) < 3 or not (fields[0].isdecimal() and fields[1].isdecimal()):
        return None
    facility, level = divmod(int(fields[0]), 8)
    if facility != KERNEL or level >= DEBUG:
        return None
    return KernelError(int(fields[1]), text)
