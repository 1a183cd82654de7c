# SPDX-License-Identifier: GPL-2.0-or-later
"""What to do about the loaded image. Pure: observation, record, request and configuration in, a decision out."""

from dataclasses import dataclass
from enum import StrEnum

from kdumphpd.config import Config
from kdumphpd.helper.observe import Observation
from kdumphpd.helper.record import UNREAD, Record, digest
from kdumphpd.image.cmdline import missing
from kdumphpd.image.fingerprint import Change, Fingerprint, change
from kdumphpd.image.verdict import UNSAFE, ImageState
from kdumphpd.kernel.crash_hotplug import Answer
from kdumphpd.load.method import Kind
from kdumphpd.protocol import FOR_ROOT, Reason, Request


class Action(StrEnum):
    LEAVE_ALONE = "leave-alone"  # no image is loaded, and that is as the operator wants it
    NOTHING = "nothing"  # the image is right, as far as can be told
    UNRESOLVED = "unresolved"  # it is wrong, and another reload would not help
    RELOAD = "reload"


@dataclass(frozen=True, slots=True)
class Decision:
    action: Action
    reason: Reason
    detail: str = ""  # in words: what is wrong with the image, or why it was not read
    # The image describes the machine as it was observed: the record's fingerprint may become that one.
    describes: bool = False


# Kinds of a load of ours that appends what is missing.
APPENDING = (Kind.KEXEC_LOAD, Kind.KEXEC_FILE_LOAD)


def decide(
    observed: Observation, record: Record, request: Request, config: Config, *, stopped: bool, lacking: str = ""
) -> Decision:
    """Decide by the image itself where it was read, else by what changed since it was loaded.

    `stopped`: the operator has stopped or disabled the distribution's unit since a reload became pending; False where
    systemd does not tell. `lacking`: what the loader's own command line lacks, where the image can't be read. A stale
    image still dumps most of memory and none dumps nothing, so what is not known is
    never a reason to unload.
    """
    if not observed.loaded:
        if record.pending is None:
            return Decision(Action.LEAVE_ALONE, Reason.NOT_LOADED)
        if stopped:
            return Decision(Action.LEAVE_ALONE, Reason.UNLOADED, "its unit was stopped or disabled meanwhile")
        return Decision(Action.RELOAD, Reason.PENDING)
    if not observed.readable:
        decision = _by_changes(observed, record, request)
        whole = config.reload.append == "auto" or not missing(config.reload.append)
        if decision.action is Action.NOTHING and lacking and not (whole and record.method in APPENDING):
            if record.improved != UNREAD or request in FOR_ROOT:
                return Decision(Action.RELOAD, Reason.UNSAFE, UNSAFE.format(lacking))
            return Decision(Action.UNRESOLVED, Reason.UNSAFE, UNSAFE.format(lacking), describes=decision.describes)
        return decision
    verdict = observed.verdict
    # What stood in its way may be mended: whoever asks by hand says so.
    improvable = record.improved != observed.identity or request in FOR_ROOT
    if verdict.state is ImageState.STALE:
        detail = verdict.sentence()
        if record.unresolved == digest(detail) and request not in FOR_ROOT:
            return Decision(Action.UNRESOLVED, Reason.STALE, detail)
        return Decision(Action.RELOAD, Reason.STALE, detail)
    if verdict.state is ImageState.UNSAFE and config.reload.append:
        if improvable:
            return Decision(Action.RELOAD, Reason.UNSAFE, verdict.sentence())
        return Decision(Action.UNRESOLVED, Reason.UNSAFE, verdict.sentence())
    if config.reload.make_updatable and improvable and observed.kernel_can and not observed.updatable:
        return Decision(Action.RELOAD, Reason.NOT_UPDATABLE)
    return Decision(Action.NOTHING, Reason.CURRENT, verdict.detail, describes=True)


def _by_changes(observed: Observation, record: Record, request: Request) -> Decision:
    """The image can't be read: the fingerprint of the last load, the kernel's report and its errors stand in."""
    why = "" if observed.fadump else observed.verdict.sentence()
    if observed.errors:
        return Decision(Action.RELOAD, Reason.KERNEL_ERROR, f"the kernel said {observed.errors[-1].text!r}")
    updates = _kernel_updates(observed, record)
    if record.machine is None or observed.machine is None:
        if updates:
            return Decision(Action.NOTHING, Reason.KERNEL_UPDATES, why, describes=observed.settled)
        if request is Request.CHECK and not record.reported:
            # Nothing has changed as far as anybody knows, and whoever loaded the image did so for this machine.
            return Decision(Action.NOTHING, Reason.UNCHANGED, why, describes=True)
        return Decision(Action.RELOAD, Reason.CHANGED, why)
    changed = changed_since(record.machine, observed)
    if changed is None:
        return Decision(Action.NOTHING, Reason.KERNEL_UPDATES if updates else Reason.UNCHANGED, why)
    if updates and not record.overtaken and (observed.fadump or not changed.ram_removed):
        # Until the events have settled that is what the kernel said of the last image, which may be another one.
        return Decision(Action.NOTHING, Reason.KERNEL_UPDATES, why, describes=observed.settled)
    # x86 leaves memory that was removed in an image that it updates.
    return Decision(Action.RELOAD, Reason.CHANGED, "; ".join(filter(None, (changed.sentence(), why))))


def changed_since(machine: Fingerprint, observed: Observation) -> Change | None:
    """What an image that was loaded for `machine` lacks, or has too much; None for nothing that matters."""
    if observed.machine is None:
        return None
    changed = change(machine, observed.machine)
    # A CPU that is gone is harmless: no architecture's capture kernel needs its note.
    cpus_added = changed.cpus_added and not observed.fadump
    return changed if changed.ram_added or changed.ram_removed or cpus_added else None


def _kernel_updates(observed: Observation, record: Record) -> bool:
    if observed.fadump:
        return observed.capability.memory is Answer.YES
    if not observed.settled and observed.kernel_can:
        return record.kernel_updates  # the same image, so the same answer as at the last time
    return observed.capability.updates
