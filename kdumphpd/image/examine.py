# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole question in one call: what is loaded, and does it describe this machine?"""

import os
import time
from collections.abc import Callable
from pathlib import Path

from kdumphpd.image.errors import Cause, UnreadableError
from kdumphpd.image.machine import read_machine
from kdumphpd.image.reader import Image, inspect
from kdumphpd.image.verdict import NOTHING_TO_DESCRIBE, ImageState, Verdict, judge

# The image is read before the machine. Memory that comes online in between, with an update by the kernel,
# would make a current image seem stale; a second reading sees both.
CONFIRMATIONS = 3
PAUSE = 0.2  # seconds


def examine(
    root: Path = Path("/"),
    cache: Path | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Image | None, Verdict]:
    """Return the loaded image, None if there is none or it can't be read, and the verdict on it.

    A stale image is read again until two verdicts in a row agree, CONFIRMATIONS more at most.
    Arguments as for inspect(). Raises nothing of its own: what can't be read is a verdict.
    """
    image, verdict = _examine_once(root, cache, sleep)
    for _ in range(CONFIRMATIONS):
        if verdict.state is not ImageState.STALE:
            break
        sleep(PAUSE)
        before = verdict
        image, verdict = _examine_once(root, cache, sleep)
        if verdict == before:
            break
    return image, verdict


def _examine_once(root: Path, cache: Path | None, sleep: Callable[[float], None]) -> tuple[Image | None, Verdict]:
    image = None
    try:
        image = inspect(root, cache, sleep)
        if image is None:
            return None, Verdict(ImageState.NO_IMAGE)
        described = image.elfcorehdr.loads if image.elfcorehdr else ()
        return image, judge(image, read_machine(root, (*described, *image.reservation)))
    except UnreadableError as error:
        return image, unread(error.reason, error.detail)


def unread(reason: Cause, detail: str) -> Verdict:
    """Return the verdict on a loaded image that was not read: unreadable, if it matters here what it holds."""
    if reason is not Cause.NO_SYSFS and builds_its_elfcorehdr(os.uname().machine):
        return Verdict(ImageState.CURRENT, detail=NOTHING_TO_DESCRIBE)
    return Verdict(ImageState.UNREADABLE, reason=reason, detail=detail)


def builds_its_elfcorehdr(machine: str) -> bool:
    """Whether the capture kernel of `machine` (uname -m) describes it by itself: what can be read does not matter."""
    return machine == "s390x"
