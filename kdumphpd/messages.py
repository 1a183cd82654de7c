# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal's sentences and their MESSAGE_IDs (explained to operators in systemd/kdumphpd.catalog)."""

from enum import StrEnum

from kdumphpd.ids import IdSet
from kdumphpd.policy import Action, Decision, Reason
from kdumphpd.protocol import Outcome, Result
from kdumphpd.storm import Storm


class MessageId(StrEnum):
    STARTED = "e9278b40f2924a2590eb0910e7d64c9e"
    STOPPED = "3aa02bc680d941109c5c6a45af834b66"
    KERNEL_UPDATED = "70071d8650d442fc9a1e2f5d07bfa5aa"
    IMAGE_CURRENT = "60f3d79bc8ca4f2ab0ccfa20d380daac"
    RELOADED = "f037f8dea07e42d1bb5801503198c76e"
    NOTHING_LOADED = "a0eee692a98d42cc834ce90c2d68103d"
    DEFERRED = "0c6964edb0c2456ba1a77b4adb4663d7"
    RELOAD_FAILED = "668b561908d34ad2a77fd9db89a97c9a"
    STILL_STALE = "44f97c89831d405b971d1620805201e7"
    REARM_UNAVAILABLE = "49fa617bb5ab424691407d6f66171e63"
    EVENTS_LOST = "f36c2a6173fe4cf5a7727c0d13b05947"
    CONFIG_REFUSED = "db861ee5f0854ff7a9e13535d9cf6f50"
    CONFIG_RELOADED = "ab236569a1be4903b0f44eb57b495cd3"


# What the listener's sentence begins its second half with: why the image was looked at twice.
REASONS = {
    Reason.NOTHING_LOADED: "no kdump image is loaded, and none was loaded by us; left alone",
    Reason.KERNEL_UPDATES: "the kernel says that it updates the kdump image itself",
    Reason.IMAGE_CURRENT: "the loaded image describes the machine",
    Reason.IMAGE_STALE: "the loaded image was out of date",
    Reason.NOT_UPDATABLE: "the loaded image cannot be updated by the kernel",
    Reason.UNSUPPORTED: "this kernel does not update a loaded image",
    Reason.UNKNOWN: "the kernel does not say whether it updates the image",
    Reason.UPDATE_FAILED: "the kernel failed to update the kdump image",
    Reason.UPGRADE: "the loaded image cannot be updated by the kernel",
    Reason.OWED: "an earlier reload did not finish",
}


def size(count: int) -> str:
    """Bytes for people: "2 GiB", "1.5 GiB", "256 MiB"."""
    value, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.4g} {units[0]}"


def what_changed(storm: Storm, block_bytes: int | None) -> str:
    """The first half of a storm's sentence: "memory grew by 2 GiB (16 blocks, 32 events in 0.4 s)"."""
    parts = [
        text
        for text in (
            _memory("grew", storm.blocks_came, block_bytes),
            _memory("shrank", storm.blocks_went, block_bytes),
            _blocks(storm.blocks_added),
            _cpus(storm.cpus_came, "came"),
            _cpus(storm.cpus_went, "went"),
        )
        if text
    ]
    if storm.assumed:
        parts.append(f"{'more' if parts else 'everything'} may have changed ({storm.assumed})")
    if not parts:
        parts.append("CPUs or memory came and went")
    if storm.events <= 1:
        return ", ".join(parts)
    blocks = len(storm.blocks_came) + len(storm.blocks_went)
    counted = f"{blocks} block{'s' * (blocks > 1)}, " if blocks else ""
    return f"{', '.join(parts)} ({counted}{storm.events} events in {storm.duration:.1f} s)"


def _memory(verb: str, blocks: IdSet, block_bytes: int | None) -> str:
    if not blocks:
        return ""
    amount = size(len(blocks) * block_bytes) if block_bytes else f"{len(blocks)} block{'s' * (len(blocks) > 1)}"
    return f"memory {verb} by {amount}"


def _blocks(blocks: IdSet) -> str:
    plural = len(blocks) > 1
    return f"memory block{'s' * plural} {blocks} added, not online yet" if blocks else ""


def _cpus(cpus: IdSet, verb: str) -> str:
    return f"CPU{'s' * (len(cpus) > 1)} {cpus} {verb}" if cpus else ""


def what_was_done(decision: Decision, result: Result | None, *, heard: bool = True) -> tuple[MessageId, str]:
    """The second half: who saw to the image. `result` is None where root's part was not needed.

    `heard` says that something did change, not only that it may have.
    """
    by_kernel = "the kernel updated the kdump image itself" if heard else "the kernel keeps the kdump image current"
    if result is None or result.outcome is Outcome.TRUSTED:
        if decision.action is Action.LEAVE_ALONE:
            return MessageId.NOTHING_LOADED, REASONS[Reason.NOTHING_LOADED]
        unread = f" (not verified: {result.detail})" if result and result.detail else ""
        return MessageId.KERNEL_UPDATED, by_kernel + unread
    if result.outcome is Outcome.CURRENT:
        if decision.action is Action.KERNEL:
            return MessageId.KERNEL_UPDATED, by_kernel
        return MessageId.IMAGE_CURRENT, "the kdump image still describes the machine, nothing to do"
    if result.outcome is Outcome.RELOADED:
        return MessageId.RELOADED, f"{_why_reloaded(decision, result)}, {reloaded(result)}"
    if result.outcome is Outcome.DEFERRED:
        return MessageId.DEFERRED, _deferred(result)
    if result.outcome is Outcome.NOTHING_LOADED:
        return MessageId.NOTHING_LOADED, REASONS[Reason.NOTHING_LOADED]
    if result.outcome is Outcome.STALE:
        done = reloaded(result) if result.seconds else "not reloaded again, for the last reload did not mend it"
        return MessageId.STILL_STALE, f"{done}: {result.detail}"
    if result.outcome is Outcome.REFUSED:
        return MessageId.REARM_UNAVAILABLE, f"the rearm step refused the request: {result.detail}"
    armed = "the old kdump image is still loaded" if result.armed else "UNPROTECTED: no kdump image is loaded"
    return MessageId.RELOAD_FAILED, f"the kdump image could not be reloaded: {result.detail}; {armed}"


def _deferred(result: Result) -> str:
    again = f"looking again in {result.wait:.0f} s"
    if result.seconds:
        return f"{reloaded(result)}, but the machine changed meanwhile ({result.detail}); {again}"
    why = result.detail or REASONS[Reason(result.reason)]
    return f"{why}; not reloaded yet, for reloads may leave no image for a share of the time only; {again}"


def _why_reloaded(decision: Decision, result: Result) -> str:
    if decision.action is Action.KERNEL:
        found = result.detail or "the image was out of date"
        return f"the kernel says that it updates the kdump image itself, but {found}"
    why = REASONS[decision.reason]
    return f"{why} ({result.detail})" if result.detail else why


def reloaded(result: Result) -> str:
    """ "reloaded in 1.2 s, 0.2 s without an image; from now on the kernel keeps it current"."""
    text = f"reloaded in {result.seconds:.1f} s, {result.unprotected:.1f} s without an image"
    return f"{text}; from now on the kernel keeps it current" if result.kernel_updates else text
