# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors of this package: bad bytes, memory that cannot be read, an image that changed under the reader."""

from enum import StrEnum


class ImageError(Exception):
    """Whatever keeps the loaded image from being read or understood."""


class ParseError(ImageError):
    """Bytes are not what their format promises; the only error a parser of this package raises."""


class ChangedError(ImageError):
    """What was read does not fit together, as when an image is loaded, updated or unloaded meanwhile.

    Worth another try.
    """


class Cause(StrEnum):
    """Why the loaded image cannot be read."""

    LOCKDOWN = "lockdown"
    KPTR_RESTRICT = "kptr_restrict"
    NO_PERMISSION = "no_permission"
    NO_KALLSYMS = "no_kallsyms"
    NO_SYMBOL = "no_symbol"
    NO_BTF = "no_btf"
    NO_KCORE = "no_kcore"
    NO_SYSFS = "no_sysfs"
    NO_ELFCOREHDR = "no_elfcorehdr"
    UNKNOWN_FORMAT = "unknown_format"
    INCONSISTENT = "inconsistent"
    CONTRADICTION = "contradiction"  # crash_loaded is 1, and kexec_crash_image stays null
    HIDDEN = "hidden"  # the segments read as zeros
    NOT_READ = "not_read"  # nobody was to read it: the configuration says so, or there is no image (fadump)


class UnreadableError(ImageError):
    """The image cannot be read here, and another try would not help.

    detail says what was tried and what the system answered.
    """

    def __init__(self, reason: Cause, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
