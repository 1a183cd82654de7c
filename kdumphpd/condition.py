# SPDX-License-Identifier: GPL-2.0-or-later
"""What a panic at this moment leaves behind, in one word."""

from enum import StrEnum

from kdumphpd.state import State


class Condition(StrEnum):
    PROTECTED = "protected"
    STALE = "stale"  # an image is loaded, and a dump may miss something or fail
    UNPROTECTED = "unprotected"  # no image is loaded, against the operator's wish
    STOPPED = "stopped"  # no image is loaded, and that is the operator's wish as far as anybody can tell
    UNKNOWN = "unknown"


def condition(state: State) -> Condition:
    """The condition that the listener's state tells of."""
    if state.loaded is None:
        return Condition.UNKNOWN
    if not state.loaded:
        return Condition.UNPROTECTED if state.pending or state.failure else Condition.STOPPED
    # A socket that fails makes the state red as well, and says nothing of the image.
    wrong = state.failure or state.deferred_until or (state.receiving and not state.healthy)
    return Condition.STALE if wrong else Condition.PROTECTED
