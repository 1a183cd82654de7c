# SPDX-License-Identifier: GPL-2.0-or-later
"""What to do about the loaded image. Pure: what was seen goes in, a decision with its reason comes out."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from kdumphpd.image.verdict import State, Verdict
from kdumphpd.kernel.crash_hotplug import Answer, Capability
from kdumphpd.storm import Subsystem


class Action(StrEnum):
    LEAVE_ALONE = "leave-alone"
    KERNEL = "kernel"  # the kernel updates the image itself
    NOTHING = "nothing"  # the image was read, and is right
    RELOAD = "reload"


class Reason(StrEnum):
    """Why. The journal's words for each are in messages.py."""

    NOTHING_LOADED = "nothing-loaded"
    KERNEL_UPDATES = "kernel-updates"
    IMAGE_CURRENT = "image-current"
    IMAGE_STALE = "image-stale"
    NOT_UPDATABLE = "not-updatable"  # the kernel could, but not this image
    UNSUPPORTED = "unsupported"  # this kernel never does
    UNKNOWN = "unknown"  # the kernel's answer could not be read
    UPDATE_FAILED = "update-failed"  # the kernel does, and says that it failed
    UPGRADE = "upgrade"  # right, but the kernel may not update it, and another load would let it
    OWED = "owed"  # we took an image down and have not put it back


@dataclass(frozen=True, slots=True)
class Decision:
    action: Action
    reason: Reason


def decide(
    capability: Capability,
    touched: Iterable[Subsystem],
    verdict: Verdict | None = None,
    *,
    owed: bool = False,
    complained: bool = False,
    upgradable: bool = False,
) -> Decision:
    """Decide by the image itself where it was read, else by what the kernel says that it does.

    `touched` are the subsystems that may have changed; `verdict` is None where nobody looked, and an unreadable
    image is no better than that. `owed` says that a reload of ours began and did not finish: then an image that
    is not there is not the operator's wish. `complained` says that the kernel reported an update of its own that
    failed, `upgradable` that an image which is right should be loaded anew, so that the kernel may update it from
    then on. Where in doubt, the answer is to reload: a needless reload costs a moment, a stale image a dump.
    """
    seen = verdict.state if verdict else State.UNREADABLE
    absent = not capability.loaded or seen is State.NO_IMAGE
    if owed and absent:
        return Decision(Action.RELOAD, Reason.OWED)
    if absent:
        return Decision(Action.LEAVE_ALONE, Reason.NOTHING_LOADED)
    if seen is State.CURRENT and upgradable:
        return Decision(Action.RELOAD, Reason.UPGRADE)
    if seen is State.CURRENT:
        return Decision(Action.NOTHING, Reason.IMAGE_CURRENT)
    if seen is State.STALE:
        return Decision(Action.RELOAD, Reason.IMAGE_STALE)
    touched = frozenset(touched)
    if capability.covers(touched) and complained:
        return Decision(Action.RELOAD, Reason.UPDATE_FAILED)
    if capability.covers(touched):
        return Decision(Action.KERNEL, Reason.KERNEL_UPDATES)
    answers = {capability.answer(subsystem) for subsystem in touched}
    if Answer.NO in answers:
        return Decision(Action.RELOAD, Reason.NOT_UPDATABLE)
    if Answer.UNREADABLE in answers:
        return Decision(Action.RELOAD, Reason.UNKNOWN)
    return Decision(Action.RELOAD, Reason.UNSUPPORTED)
