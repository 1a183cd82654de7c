# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking the distribution's loader what it would load: when it is needed, and ahead of need after an answer.

A loader that has a kexec of its own loads, or unloads, although it is only asked. That is noticed, put right, and
happens once.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kdumphpd import journal
from kdumphpd.config import LoaderChoice
from kdumphpd.helper import record
from kdumphpd.helper.lock import PATIENCE, Busy, asking_lock, request_lock
from kdumphpd.helper.record import Pending
from kdumphpd.kernel.loaded import image_loaded
from kdumphpd.load import choose, recording, units
from kdumphpd.load.recording import Bypassed, LeftNothing, Recipe, Recording
from kdumphpd.load.run import LoadFailed, NotReady
from kdumphpd.load.units import States
from kdumphpd.load.unprotected import Meter
from kdumphpd.messages import MessageId
from kdumphpd.runtime import RECORDING, UNASKABLE

log = journal.logger()

# A loader that is asked may find that an initrd is due and build it. The old image is there meanwhile.
LIMIT = 3600.0  # seconds

INTERVAL = 0.02  # seconds between two looks at whether the image is still there meanwhile

# Whoever serves a request may be loading: the image that a loader has taken down is put back after that.
REQUEST_LIMIT = 600.0  # seconds


class TookDown(LoadFailed):
    """No image was loaded for a time while the loader was asked, and it has not called the recorder."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True)
class Asking:
    """One loader of a distribution's, below `root`."""

    root: Path
    loader: LoaderChoice

    @property
    def _recipe(self) -> Recipe:
        return choose.DISTRIBUTIONS[self.loader].recipe

    def fresh(self) -> Recording | None:
        """What is recorded, unless it may be old."""
        kept = recording.load_kept(self.root, RECORDING)
        return kept if kept and recording.is_fresh(self.root, self._recipe, kept) else None

    def answer(self, say: Callable[[str], None], *, renew: bool) -> Recording:
        """What it would run, for a request that needs it now and holds the request lock. Raises LoadFailed."""
        if not renew and (kept := self.fresh()):
            return kept
        try:
            lock = asking_lock(self.root, PATIENCE)
        except (Busy, OSError) as error:
            raise NotReady(f"cannot ask {self.loader} what it would load: {error}") from error
        try:
            # Whoever had the lock may have asked.
            return (None if renew else self.fresh()) or self._ask(say)
        except TookDown as error:
            self._never_again(error.why)
            if not image_loaded(self.root):
                self._put_back(error.why)
            raise
        finally:
            lock.release()

    def ahead(self, wait_until_idle: Callable[[], States]) -> bool:
        """Ask after an answer, while others are served; whether that was due. Raises LoadFailed and OSError."""
        if self.fresh():
            return False
        try:
            lock = asking_lock(self.root, 0.0)
        except Busy:
            return False  # it is being asked
        try:
            if self.fresh():
                return False
            before, ended = wait_until_idle(), record.read(self.root).ended
            try:
                self._ask(lambda _: None)
            except TookDown as error:
                self._put_right(error.why, before, ended)
                raise
        finally:
            lock.release()
        return True

    # --- inside --------------------------------------------------------------------------------------------------

    def _ask(self, say: Callable[[str], None]) -> Recording:
        if why := self._unaskable():
            raise LoadFailed(f"{self.loader} is not asked, for it {why}")
        say(f"asking {self.loader} what it would load")
        before = image_loaded(self.root)
        meter = Meter(self.root, INTERVAL)
        try:
            with meter:
                found = recording.record(self.root, self._recipe, LIMIT)
        except Bypassed as error:
            if not (before and meter.unprotected):
                raise
            why = f"took the image down for {meter.unprotected:.1f} s although it was only asked what it loads"
            raise TookDown(why) from error
        try:
            recording.keep(self.root, RECORDING, found)
        except OSError as error:
            log.warning(
                f"cannot write {self.root / RECORDING}: {error.strerror}; the loader is asked again next time"
            )
        return found

    def _put_right(self, why: str, before: States, ended: float) -> None:
        """It was the loader, if neither another helper has loaded meanwhile nor the distribution's unit was at work.

        `ended`: of the last load of ours, before. Raises LoadFailed and OSError.
        """
        try:
            lock = request_lock(self.root, REQUEST_LIMIT)
        except Busy:
            return
        try:
            known, now = record.read(self.root), units.read(choose.units(self.loader))
            if known.pending or known.ended != ended or before is None or now is None:
                return
            if units.was_at_work(before, now):
                return
            self._never_again(why)
            if image_loaded(self.root):
                return
            # Should we end here, or it fail, the listener finds this and asks for it.
            known.pending = Pending.noted(before)
            record.write(self.root, known)
            choose.load(self.root, self.loader)
            known.forget_image()
            known.pending = None
            record.write(self.root, known)
        finally:
            lock.release()

    def _put_back(self, why: str) -> None:
        try:
            choose.load(self.root, self.loader)
        except LoadFailed as error:
            raise LeftNothing(f"{self.loader} {why}, and loads nothing now: {error}") from error

    def _never_again(self, why: str) -> None:
        log.error(f"{self.loader} {why}", id=MessageId.RELOAD_FAILED)
        with suppress(OSError):
            (self.root / UNASKABLE).write_text(why)

    def _unaskable(self) -> str:
        """Why the loader is not to be asked, until it is another one; empty where it may be."""
        path = self.root / UNASKABLE
        try:
            since, why = path.stat().st_mtime_ns, path.read_text()
        except OSError:
            return ""
        inputs = recording.read_inputs(self.root, self._recipe).values()
        return why if all(file is None or file.ctime_ns < since for file in inputs) else ""
