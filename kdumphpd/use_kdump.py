# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether Debian's kdump-tools is switched off: its unit is active then all the same, and loads nothing."""

import re
from pathlib import Path

DEFAULTS = "etc/default/kdump-tools"

ASSIGNED = re.compile(r"^[ \t]*(?:export[ \t]+)?USE_KDUMP=[\"']?(\w*)", re.MULTILINE)


def is_switched_off(root: Path) -> bool:
    """By the file; False where there is no such file to be read."""
    try:
        text = (root / DEFAULTS).read_text(errors="replace")
    except OSError:
        return False
    return switches_off(text)


def switches_off(text: str) -> bool:
    """By the last assignment of USE_KDUMP, as a shell takes it. Without one kdump-config of Debian 13 is off."""
    values = ASSIGNED.findall(text)
    return not values or values[-1] in ("", "0")
