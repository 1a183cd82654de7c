# SPDX-License-Identifier: GPL-2.0-or-later
"""One way to load the image, as a loader offers it and as an attempt tries it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Method(StrEnum):
    """Who puts the new image in the old one's place."""

    LOAD = "load"  # kexec_load(2)
    FILE = "file"  # kexec_file_load(2)
    OWN = "own"  # the distribution's or the operator's own reload, whatever that does


@dataclass(frozen=True)
class Way:
    """`load` takes a limit in seconds and raises LoadFailed."""

    name: str
    method: Method
    load: Callable[[float], object]
    # Whether the kernel may keep an image current that was loaded this way, and does such a thing at all.
    updatable: bool = False
    # What is loaded, where that is known beforehand: looked at before the old image goes.
    kernel: Path | None = None
    initrd: Path | None = None
