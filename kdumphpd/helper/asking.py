# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking the distribution's loader what it would load: when it is needed, and ahead of need after an answer.

A loader that has a kexec of its own loads, or unloads, although it is only asked. That is noticed, however the asking
ends, put right, and happens once.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdumphpd import fields, journal
from kdumphpd.config import LoaderChoice
from kdumphpd.helper import record
from kdumphpd.helper.lock import PATIENCE, Busy, asking_lock, request_lock
from kdumphpd.helper.record import Pending, Record
from kdumphpd.kernel.loaded import image_loaded
from kdumphpd.load import choose, recording, units
from kdumphpd.load.recording import Bypassed, Inputs, LeftNothing, Recipe, Recording
from kdumphpd.load.run import LoadFailed, NotReady
from kdumphpd.load.units import States
from kdumphpd.load.unprotected import Meter
from kdumphpd.messages import MessageId
from kdumphpd.runtime import ASKED, RECORDING, UNASKABLE
from kdumphpd.systemctl import AT_WORK

log = journal.logger()

# A loader that is asked may find that an initrd is due and build it. The old image is there meanwhile.
LIMIT = 3600.0  # seconds

INTERVAL = 0.02  # seconds between two looks at whether the image is still there meanwhile

# Whoever serves a request may be loading: the image that a loader has taken down is put back after that.
REQUEST_LIMIT = 600.0  # seconds


class TookDown(LoadFailed):
    """An image was loaded before the loader was asked, and then none: for a time, or still."""

    def __init__(self, why: str, inputs: Inputs) -> None:
        super().__init__(why)
        self.inputs = inputs  # what it read, before


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
            if not renew and (kept := self.fresh()):
                return kept
            before = units.read(choose.units(self.loader))
            with self._noted(before):
                try:
                    return self._ask(say)
                except TookDown as error:
                    if self._was_it(before):
                        self._never_again(error)
                        if not image_loaded(self.root):
                            self._put_back(error)
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
            with self._noted(before):
                try:
                    self._ask(lambda _: None)
                except TookDown as error:
                    self._put_right(error, before, ended)
                    raise
        finally:
            lock.release()
        return True

    # --- inside --------------------------------------------------------------------------------------------------

    @contextmanager
    def _noted(self, before: States) -> Iterator[None]:
        """Should we be killed meanwhile, the next request knows that an image may be gone because of the loader."""
        path = self.root / ASKED
        with suppress(OSError):
            if before is not None and image_loaded(self.root):
                path.write_text(json.dumps(asdict(Pending.noted(before))))
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    def _ask(self, say: Callable[[str], None]) -> Recording:
        inputs = recording.read_inputs(self.root, self._recipe)
        if why := self._unaskable(inputs):
            raise LoadFailed(f"{self.loader} is not asked, for it {why}")
        say(f"asking {self.loader} what it would load")
        before = image_loaded(self.root)
        meter = Meter(self.root, INTERVAL)
        found: Recording | LoadFailed
        try:
            with meter:
                found = recording.record(self.root, self._recipe, inputs, LIMIT)
        except LoadFailed as error:
            found = error
        gone = before and not image_loaded(self.root)
        if gone or (before and meter.unprotected and isinstance(found, Bypassed)):
            seconds = f" for {meter.unprotected:.1f} s" if not gone else ""
            why = f"took the image down{seconds} although it was only asked what it loads"
            raise TookDown(why, inputs)
        if isinstance(found, LoadFailed):
            raise found
        try:
            recording.keep(self.root, RECORDING, found)
        except OSError as error:
            log.warning(
                f"cannot write {self.root / RECORDING}: {error.strerror}; the loader is asked again next time"
            )
        return found

    def _was_it(self, before: States) -> bool:
        """It was the loader, and not the distribution's unit, which was at work; False where that is not known."""
        now = units.read(choose.units(self.loader))
        return before is not None and now is not None and not units.was_at_work(before, now)

    def _put_right(self, took_down: TookDown, before: States, ended: float) -> None:
        """It was the loader, if neither another helper has loaded meanwhile nor the distribution's unit was at work.

        `ended`: of the last load of ours, before. Raises LoadFailed and OSError.
        """
        try:
            lock = request_lock(self.root, REQUEST_LIMIT)
        except Busy:
            return
        try:
            known = record.read(self.root)
            if known.pending or known.ended != ended or not self._was_it(before):
                return
            self._never_again(took_down)
            if image_loaded(self.root):
                return
            # Should we end here, or it fail, the listener finds this and asks for it.
            known.pending = Pending.noted(before, time.monotonic())
            record.write(self.root, known)
            choose.load(self.root, self.loader)
            known.forget_image()
            known.pending = None
            record.write(self.root, known)
        finally:
            lock.release()

    def _put_back(self, took_down: TookDown) -> None:
        try:
            choose.load(self.root, self.loader)
        except LoadFailed as error:
            raise LeftNothing(f"{self.loader} {took_down}, and loads nothing now: {error}") from error

    def _never_again(self, took_down: TookDown) -> None:
        log.error(f"{self.loader} {took_down}", id=MessageId.RELOAD_FAILED)
        with suppress(OSError):
            word = {"why": str(took_down), "inputs": _to_json(took_down.inputs)}
            (self.root / UNASKABLE).write_text(json.dumps(word))

    def _unaskable(self, inputs: Inputs) -> str:
        """Why the loader is not to be asked, until it is another one; empty where it may be."""
        try:
            known = json.loads((self.root / UNASKABLE).read_text())
            return str(known["why"]) if known["inputs"] == _to_json(inputs) else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""


def _to_json(inputs: Inputs) -> dict[str, Any]:
    return {path: file and file.to_json() for path, file in inputs.items()}


def resume(root: Path, known: Record) -> None:
    """Where a helper was killed while it asked, the image may be missing because of that. Raises OSError."""
    path = root / ASKED
    try:
        text = path.read_text()
        lock = asking_lock(root, 0.0)
    except (FileNotFoundError, Busy):
        return  # nobody has asked, or whoever does is alive
    try:
        if known.pending is None:
            with suppress(ValueError, RecursionError):
                known.pending = fields.parse(Pending, text)
        record.write(root, known)
        # The loader runs on without us, and may take it down yet.
        if not any(unit.active in AT_WORK for unit in units.read((recording.UNIT,)) or ()):
            path.unlink()
    finally:
        lock.release()
