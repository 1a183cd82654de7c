# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal's sentences and their MESSAGE_IDs (explained to operators in systemd/kdumphpd.catalog)."""

from enum import StrEnum

from kdumphpd.protocol import Outcome, Reason, Result


class MessageId(StrEnum):
    STARTED = "e9278b40f2924a2590eb0910e7d64c9e"
    STOPPED = "3aa02bc680d941109c5c6a45af834b66"
    STOPPED_UNFINISHED = "8ce58192082c4871a21cd5baa88c5f66"
    KERNEL_UPDATED = "70071d8650d442fc9a1e2f5d07bfa5aa"
    IMAGE_CURRENT = "60f3d79bc8ca4f2ab0ccfa20d380daac"
    RELOADED = "f037f8dea07e42d1bb5801503198c76e"
    NOT_LOADED = "a0eee692a98d42cc834ce90c2d68103d"
    MISSING = "9006ffb68a2640f88f6c50ab853e22b1"
    DEFERRED = "0c6964edb0c2456ba1a77b4adb4663d7"
    RELOAD_FAILED = "668b561908d34ad2a77fd9db89a97c9a"
    UNSAFE = "e3ba9937d24a435a873e7eb9254e6817"
    STILL_STALE = "44f97c89831d405b971d1620805201e7"
    HELPER_UNAVAILABLE = "49fa617bb5ab424691407d6f66171e63"
    EVENTS_LOST = "f36c2a6173fe4cf5a7727c0d13b05947"
    CONFIG_REFUSED = "db861ee5f0854ff7a9e13535d9cf6f50"
    CONFIG_RELOADED = "ab236569a1be4903b0f44eb57b495cd3"


# What stands after "because" where a reload has no detail of its own.
BECAUSE = {
    Reason.PENDING: "an earlier reload did not end with an image",
    Reason.STALE: "it did not describe the machine",
    Reason.UNSAFE: "its capture kernel could have overwritten hot-added memory",
    Reason.NOT_UPDATABLE: "the kernel could not update it",
    Reason.CHANGED: "the machine has changed and the kernel does not update it",
    Reason.KERNEL_ERROR: "the kernel failed to update it",
}

NOT_LOADED = "no kdump image is loaded (it was unloaded, or kdump is stopped or not set up): nothing to update"


def size(count: int) -> str:
    """Bytes for people: "2 GiB", "1.5 GiB", "256 MiB"."""
    value, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.4g} {units[0]}"


def what_was_done(result: Result, *, changed: bool = True) -> tuple[MessageId, str]:
    """The sentence about an answer of the helper's. `changed`: CPUs or memory did change, not only may have."""
    match result.outcome:
        case Outcome.CURRENT | Outcome.UNVERIFIED:
            return _left_as_it_is(result, changed=changed)
        case Outcome.NOT_LOADED:
            return MessageId.NOT_LOADED, f"{NOT_LOADED}; {result.detail}" if result.detail else NOT_LOADED
        case Outcome.MISSING:
            return MessageId.MISSING, f"UNPROTECTED: no kdump image is loaded: {result.detail}"
        case Outcome.RELOADED:
            return MessageId.RELOADED, f"{reloaded(result)}{updates(result)}"
        case Outcome.DEFERRED:
            return MessageId.RELOADED if result.seconds else MessageId.DEFERRED, _deferred(result)
        case Outcome.STALE:
            done = reloaded(result) if result.seconds else "not reloaded again"
            return (
                MessageId.STILL_STALE,
                f"{done}, but the image is still out of date: {result.detail}; not trying again before the next "
                "change, because no load method sees that",
            )
        case Outcome.UNSAFE:
            done = f"{reloaded(result)}, but the image is still unsafe" if result.seconds else "the image is unsafe"
            return MessageId.UNSAFE, f"{done}: {result.detail}"
        case Outcome.REFUSED | Outcome.BUSY:
            return MessageId.HELPER_UNAVAILABLE, f"the helper did not take the request: {result.detail}"
    armed = "the old kdump image is still loaded" if result.armed else "UNPROTECTED: no kdump image is loaded"
    return MessageId.RELOAD_FAILED, f"the kdump image could not be reloaded: {result.detail}; {armed}"


def _left_as_it_is(result: Result, *, changed: bool) -> tuple[MessageId, str]:
    detail = f" ({result.detail})" if result.detail else ""
    if result.kernel_updates and changed:
        return MessageId.KERNEL_UPDATED, f"the kernel updated the kdump image{detail}"
    if result.outcome is Outcome.UNVERIFIED:
        return MessageId.KERNEL_UPDATED, f"the kernel updates the kdump image by itself{detail}"
    return MessageId.IMAGE_CURRENT, f"the loaded kdump image is up to date{detail}"


def _deferred(result: Result) -> str:
    why = result.detail or (result.reason and BECAUSE.get(result.reason)) or "it is out of date"
    if result.seconds:
        return f"{reloaded(result)}, but the machine changed meanwhile ({why}); checking again in {result.wait:.0f} s"
    return f"reload deferred by {result.wait:.0f} s (reload.max_unprotected); until then: {why}"


def reloaded(result: Result) -> str:
    """ "reloaded the kdump image in 1.2 s (unprotected for 0.2 s), because the kernel could not update it"."""
    text = f"reloaded the kdump image in {result.seconds:.1f} s (unprotected for {result.unprotected:.2f} s)"
    because = BECAUSE.get(result.reason) if result.reason else None
    if because and result.detail and result.outcome is Outcome.RELOADED:
        return f"{text}, because {because} ({result.detail})"
    return f"{text}, because {because}" if because else text


def updates(result: Result) -> str:
    return "; the kernel updates the new image by itself" if result.kernel_updates else ""
