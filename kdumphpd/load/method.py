# SPDX-License-Identifier: GPL-2.0-or-later
"""One way to load the image, as a loader offers it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """Who puts the new image in the old one's place."""

    KEXEC_LOAD = "kexec_load"
    KEXEC_FILE_LOAD = "kexec_file_load"
    DISTRIBUTION = "distribution"  # the distribution's or the operator's own reload, whatever that does
    FADUMP = "fadump"


@dataclass(frozen=True)
class Method:
    """`load` takes a limit in seconds and raises LoadFailed."""

    kind: Kind
    name: str  # for operators: "kexec -c --hotplug", "kdumpctl reload"
    load: Callable[[float], object]
    # Whether the kernel updates an image that was loaded this way, and does such a thing at all.
    updatable: bool = False
    # What is loaded, where that is known beforehand: checked before the old image goes.
    kernel: Path | None = None
    initrd: Path | None = None
