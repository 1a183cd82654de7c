# SPDX-License-Identifier: GPL-2.0-or-later
"""Unloading an image of ours that is not wanted: the distribution's unit was stopped while it was loaded."""

from typing import Protocol

from kdumphpd import journal
from kdumphpd.config import LoaderChoice
from kdumphpd.helper.observe import Observation
from kdumphpd.helper.record import Pending, Record
from kdumphpd.load.run import LoadFailed
from kdumphpd.load.units import States
from kdumphpd.messages import MessageId
from kdumphpd.protocol import Outcome, Reason, Result

log = journal.logger()


class UnloadOperations(Protocol):
    def is_loaded(self) -> bool: ...
    def was_stopped(self, pending: Pending) -> bool: ...
    def loader(self) -> LoaderChoice: ...
    def unload(self, loader: LoaderChoice) -> None:
        """Raises LoadFailed."""


def unload(
    system: UnloadOperations, record: Record, loader: LoaderChoice, before: States, loaded: Observation | None
) -> Result:
    """`before`: the units before they were stopped. `loaded`: the image, where one is."""
    return _unload(system, record, loader, Pending.noted(before), loaded.identity if loaded else "")


def unwanted(system: UnloadOperations, record: Record, observed: Observation) -> Result | None:
    """Unload what could not be unloaded at an earlier request; None where nothing is to be.

    What the operator has loaded or started since then is wanted.
    """
    noted, identity = record.unwanted, record.image
    if noted is None or not observed.loaded or observed.identity != identity:
        record.unwanted = None
        return None
    if not system.was_stopped(noted):
        return None
    try:
        loader = system.loader()
    except LoadFailed:  # disabled as well
        loader = LoaderChoice.KEXEC
    return _unload(system, record, loader, noted, identity)


def _unload(system: UnloadOperations, record: Record, loader: LoaderChoice, noted: Pending, identity: str) -> Result:
    record.pending = record.unwanted = None
    record.forget_image()
    detail = "the distribution's unit was stopped meanwhile, so it was unloaded as asked"
    try:
        if system.is_loaded():
            system.unload(loader)
    except LoadFailed as error:
        record.unwanted, record.image = noted, identity
        detail = f"the distribution's unit was stopped meanwhile, but the image could not be unloaded: {error}"
        log.error(detail, id=MessageId.RELOAD_FAILED)
        return Result(Outcome.FAILED, reason=Reason.UNLOADED, detail=detail, armed=True)
    log.info(f"no kdump image is loaded: {detail}")
    return Result(Outcome.NOT_LOADED, reason=Reason.UNLOADED, detail=detail, armed=system.is_loaded())
