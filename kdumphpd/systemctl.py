# SPDX-License-Identifier: GPL-2.0-or-later
"""What `systemctl show` is asked for, and its answer; how it is run is its users' business."""

from collections.abc import Sequence

AT_WORK = frozenset({"activating", "deactivating", "reloading", "refreshing"})
"""The ActiveStates of a unit that will soon have another one."""

NEEDED = frozenset({"LoadState", "ActiveState"})


def show(units: Sequence[str], properties: Sequence[str]) -> list[str]:
    """The words after `systemctl`. `properties` must hold LoadState and ActiveState."""
    return ["show", f"--property={','.join(properties)}", *units]


def parse(text: str, units: Sequence[str]) -> dict[str, dict[str, str]] | None:
    """Those of `units` that are installed, each with its properties; None for an answer that is none.

    A block a unit, in the order in which they were asked for: a unit that has an alias says the other name.
    """
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in text.strip().split("\n\n")]
    if len(blocks) != len(units) or not all(block.keys() >= NEEDED for block in blocks):
        return None
    return {unit: block for unit, block in zip(units, blocks, strict=True) if block["LoadState"] != "not-found"}
