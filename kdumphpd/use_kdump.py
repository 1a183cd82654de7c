# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether Debian's kdump-tools is switched off: its unit is active then all the same, and loads nothing."""

import re
from pathlib import Path

DEFAULTS = "etc/default/kdump-tools"


def is_switched_off(root: Path) -> bool:
    """By the last assignment of USE_KDUMP, as a shell takes it; False where there is no such file to be read.

    Without one kdump-config of Debian 13 is switched off.
    """
    try:
        text = (root / DEFAULTS).read_text(errors="replace")
    except OSError:
        return False
    values = re.findall(r"^\s*USE_KDUMP=[\"']?(\w*)", text, re.MULTILINE)
    return not values or values[-1] in ("", "0")
