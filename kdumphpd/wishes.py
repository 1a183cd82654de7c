# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of the distributions' units wish for an image: while one of these is active, that is the operator's wish."""

from collections.abc import Mapping
from typing import TypeVar

from kdumphpd.systemctl import AT_WORK

T = TypeVar("T")

KDUMP_TOOLS = "kdump-tools.service"

# openSUSE's: one loads at boot before kdump.service does, and stays active when that is stopped; the other updates
# the boot loader's crashkernel=, and loads nothing.
EARLIER = frozenset({"kdump-early.service", "kdump-commandline.service"})


def wishes(units: Mapping[str, T], *, switched_off: bool = False) -> dict[str, T]:
    """Those of the installed `units` whose state counts. `switched_off`: kdump-tools' is active, and does nothing."""
    found = {name: unit for name, unit in units.items() if not (switched_off and name == KDUMP_TOOLS)}
    return {name: unit for name, unit in found.items() if name not in EARLIER} or found


def wanting(states: Mapping[str, str]) -> tuple[str, str] | None:
    """The first of `wishes`, unit → ActiveState, that is active, has failed or is at work, and its state."""
    return next(((unit, state) for unit, state in states.items() if state in AT_WORK | {"active", "failed"}), None)
