# SPDX-License-Identifier: GPL-2.0-or-later
"""The operations of a request on the real system: all I/O of the pipeline begins here."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kdumphpd import journal
from kdumphpd.config import Config, LoaderChoice
from kdumphpd.helper import asking, observe, record
from kdumphpd.helper.asking import Asking
from kdumphpd.helper.observe import Observation
from kdumphpd.helper.record import Pending, Record
from kdumphpd.image.cmdline import missing
from kdumphpd.image.errors import ImageError
from kdumphpd.image.fingerprint import Fingerprint, read_fingerprint
from kdumphpd.image.machine import memory_hotplug
from kdumphpd.kernel.limits import Limits, read_limits
from kdumphpd.kernel.loaded import armed_now, image_loaded, reservation
from kdumphpd.load import choose, crypt_keys, files, recording, run, units
from kdumphpd.load.command import KexecCommand
from kdumphpd.load.method import Method
from kdumphpd.load.recording import Recording
from kdumphpd.load.run import LoadFailed
from kdumphpd.load.units import UnitState
from kdumphpd.load.unprotected import Meter
from kdumphpd.runtime import RECORD
from kdumphpd.use_kdump import is_switched_off

log = journal.logger()

# Longer than that no unit of the distribution's is waited for: the old image is there, and the request is made again.
UNIT_LIMIT = 600.0  # seconds


@dataclass(frozen=True)
class RealSystem:
    """Below `root`, by `config`."""

    root: Path
    config: Config

    # --- observing ---------------------------------------------------------------------------------------------

    def now(self) -> float:
        return time.monotonic()

    def observe(self, known: Record, *, settled: bool) -> Observation:
        return observe.observe(self.root, self.config, known, settled=settled)

    def machine(self) -> Fingerprint | None:
        try:
            return read_fingerprint(self.root)
        except (OSError, ImageError):
            return None

    def is_loaded(self) -> bool:
        return image_loaded(self.root)

    def is_loaded_now(self) -> bool:
        return bool(armed_now(self.root))

    def limits(self) -> Limits:
        return read_limits(self.root)

    def save(self, known: Record) -> bool:
        """Whether it could be written."""
        try:
            record.write(self.root, known)
        except OSError as error:
            log.warning(f"cannot write {self.root / RECORD}: {error.strerror or error}")
            return False
        return True

    # --- others who load ---------------------------------------------------------------------------------------

    def loader(self) -> LoaderChoice:
        return choose.choose(self.root, self.config)

    def wait_until_idle(self, loader: LoaderChoice) -> tuple[bool, tuple[UnitState, ...] | None]:
        # Ours as well: a helper that was killed may have left one at work.
        ours = (run.LOAD_UNIT, recording.UNIT)
        idle = units.wait_until_idle((*choose.units(loader), *ours), UNIT_LIMIT)
        theirs = idle.states and tuple(state for state in idle.states if state.name not in ours)
        return idle.waited, theirs

    def changed(self, loader: LoaderChoice, before: tuple[UnitState, ...] | None) -> tuple[bool, bool]:
        """Whether one of the units was at work since `before`, and whether it has been stopped by that."""
        if not choose.units(loader):
            return False, False
        now = units.read(choose.units(loader))
        if not units.was_at_work(before, now):
            return False, False
        try:
            now = units.wait_until_idle(choose.units(loader), UNIT_LIMIT).states
        except LoadFailed as error:  # the image of ours is loaded, and what will become of that is not known
            log.warning(f"after the reload: {error}")
            return False, False
        return True, units.was_stopped(before, now)

    def was_stopped(self, pending: Pending) -> bool:
        if not pending.units:
            return False
        before = tuple(UnitState(unit.name, unit.active, unit.enabled, "", "") for unit in pending.units)
        return units.was_stopped(before, units.read([unit.name for unit in pending.units]))

    def wanting(self) -> str:
        """Which unit of the distribution's wants an image that is not loaded, in words; empty for none."""
        try:
            loader = self.loader()
        except LoadFailed:
            return ""
        return units.wanting(units.read(choose.units(loader)), switched_off=is_switched_off(self.root))

    def unload(self, loader: LoaderChoice) -> None:
        choose.unload(self.root, loader)

    # --- loading -----------------------------------------------------------------------------------------------

    def methods(
        self, loader: LoaderChoice, limits: Limits, say: Callable[[str], None], *, renew: bool = False
    ) -> list[Method]:
        def recorded() -> Recording:
            return Asking(self.root, loader).answer(say, renew=renew)

        armed = self.is_loaded_now()
        return choose.methods(self.root, self.config, loader, limits, recorded, self._append, armed=armed)

    def prepare(self) -> bool:
        """Ask the distribution's loader ahead of need; whether that may change a decision. Never fails."""
        try:
            loader = self.loader()
            if loader not in choose.DISTRIBUTIONS:
                return False
            asked = Asking(self.root, loader).ahead(lambda: self.wait_until_idle(loader)[1])
        except (LoadFailed, OSError) as error:
            log.info(f"what the distribution's loader would load is not known: {error}")
            return False
        # What may have been old said nothing until now.
        return asked and bool(self.lacking())

    def lacking(self) -> str:
        """What the capture kernel's command line lacks by what is recorded; empty for nothing, or nothing known."""
        try:
            loader = self.loader()
        except LoadFailed:
            return ""
        known = Asking(self.root, loader).fresh() if loader in choose.DISTRIBUTIONS else None
        return missing(known.command.command_line or "") if known and memory_hotplug(self.root) else ""

    def check(self, method: Method, known: Mapping[str, list[int]]) -> dict[str, list[int]]:
        if method.kernel is None:
            return {}
        trusted = {}
        for path, numbers in known.items():
            with suppress(ValueError):
                trusted[path] = files.FileIdentity.from_json(numbers)
        checked = files.check(self.root, method.kernel, method.initrd, reservation(self.root), trusted)
        return {path: identity.to_json() for path, identity in checked.items()}

    def load(self, method: Method) -> None:
        method.load(self.config.reload.timeout)

    def meter(self) -> Meter:
        return Meter(self.root)

    @contextmanager
    def keep_keys(self, known: Record) -> Iterator[None]:
        """Hand the keys of an encrypted dump target on from image to image, where there are any."""
        try:
            with crypt_keys.reused(self.root):
                yield
        finally:
            known.keys_reused = False

    def _append(self, command: KexecCommand) -> str:
        """What is added to the capture kernel's command line."""
        wanted = self.config.reload.append
        if wanted != "auto":
            return wanted
        return missing(command.command_line or "") if memory_hotplug(self.root) else ""


def resume(root: Path, known: Record) -> None:
    """Put right what a helper has left behind that was killed. Raises OSError."""
    if known.keys_reused:
        crypt_keys.disable(root)
        known.keys_reused = False
    asking.resume(root, known)
