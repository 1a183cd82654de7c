# SPDX-License-Identifier: GPL-2.0-or-later
"""The helper's operations on the model, and all that can be in their way."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from kdumphpd.config import Config, LoaderChoice, Verify
from kdumphpd.helper import record
from kdumphpd.helper.lock import PATIENCE
from kdumphpd.helper.observe import Observation
from kdumphpd.helper.record import Pending, Record
from kdumphpd.helper.serve import serve
from kdumphpd.image.errors import Cause
from kdumphpd.image.fingerprint import Fingerprint
from kdumphpd.image.verdict import ImageState, Verdict
from kdumphpd.kernel.limits import Limits
from kdumphpd.listener.schedule import FINE
from kdumphpd.load import units
from kdumphpd.load.choose import NoLoader
from kdumphpd.load.method import Kind, Method
from kdumphpd.load.run import LoadFailed, NotReady
from kdumphpd.load.units import States, UnitState
from kdumphpd.protocol import Outcome, Request, Result, Settings
from kdumphpd.runtime import FOLDER, RECORD, reload_pending
from tests.property.model.kernel import Kernel
from tests.property.model.surroundings import Distribution, HelperUnavailable, Hung, Meter, Obstacles, Stopped

LONGEST = 3 * 3600.0  # seconds; systemd ends a helper that takes longer


@dataclass
class Machine:
    root: Path
    kernel: Kernel
    config: Config
    distribution: Distribution
    obstacles: Obstacles = field(default_factory=Obstacles)
    # What happens at which operation of the next request, counted from 1.
    plan: dict[int, Callable[[], None]] = field(default_factory=dict)
    wanted: bool | None = False  # an image is to be loaded; None: nobody could know
    helper_works: bool = False
    stopped_meanwhile: bool = False  # the unit, during the request that is at work
    held_until: float = 0.0
    loads: int = 0  # of ours that left an image
    saves: int = 0  # of the record
    seen: ImageState = ImageState.NO_IMAGE  # by the last observation
    _steps: int = 0
    _loading: bool = False

    def __post_init__(self) -> None:
        (self.root / FOLDER).mkdir(parents=True)

    # --- a request -----------------------------------------------------------------------------------------------

    def request(self, request: Request) -> Result:
        """Raises HelperUnavailable."""
        if self.helper_works or self.kernel.clock.now < self.held_until:
            self.pass_time(PATIENCE)
            return Result(Outcome.BUSY, armed=self.kernel.image is not None, wait=2.0)
        if self.obstacles.bad_configuration:
            return Result(Outcome.FAILED, detail="the configuration is in error", armed=self.kernel.image is not None)
        self._steps, self.helper_works = 0, True
        wanted, loads, before = self.wanted, self.loads, self.kernel.loaded_number
        try:
            known = record.read(self.root)
            result = serve(request, self, known, self.config, lambda _: None)
        except OSError as error:  # as request.py answers it
            return Result(Outcome.FAILED, detail=str(error), pending=reload_pending(self.root))
        except Stopped as stopped:
            if isinstance(stopped, Hung):
                self.held_until = self.kernel.clock.now + LONGEST
            if self.wanted is False and self.kernel.image is not None and self.kernel.image.ours:
                self.wanted = None  # whoever comes next can't tell that it is not the operator's image
            raise HelperUnavailable from stopped
        finally:
            self.helper_works = self.stopped_meanwhile = False
            self.plan.clear()
        self._check(wanted, loads, before, result)
        self.kernel.noticed = set(self.kernel.blocks)
        if self.kernel.image is not None:
            self.kernel.image.noticed = True
        events = self.config.events
        settings = Settings(events.settle_time, events.max_delay, self.config.verify.interval)
        return replace(result, pending=known.pending is not None, settings=settings)

    def _check(self, wanted: bool | None, loads: int, before: int, result: Result) -> None:
        """What holds for every request that has ended."""
        image = self.kernel.image
        if result.outcome is Outcome.RELOADED:
            assert self.kernel.loaded_number != before, "reloaded was said, and no image was loaded"
        if wanted is False and self.wanted is False:
            assert self.loads == loads, "an image that the operator had unloaded was loaded"
        if result.outcome in FINE - {Outcome.NOT_LOADED}:
            assert self.seen not in (ImageState.STALE, ImageState.UNSAFE), (
                f"{result.outcome} was said of an image that is not"
            )
        if self.wanted is False and self.obstacles.silent and image is not None:
            self.wanted = None  # nobody could know of the stop
        if self.wanted is False and not record.read(self.root).unwanted:
            assert image is None or not image.ours, "the operator has stopped kdump meanwhile, and an image is loaded"

    def step(self) -> None:
        self._steps += 1
        if (happens := self.plan.pop(self._steps, None)) is not None:
            happens()

    def pass_time(self, seconds: float) -> None:
        self.kernel.clock.now += seconds

    # --- Operations: observing -----------------------------------------------------------------------------------

    def now(self) -> float:
        return self.kernel.clock.now

    def observe(self, known: Record, *, settled: bool) -> Observation:
        self.step()
        self.look()
        self.pass_time(0.1)
        kernel = self.kernel
        observed = Observation(
            verdict=kernel.verdict(),
            capability=kernel.capability(settled=settled),
            machine=kernel.fingerprint(),
            image=kernel.read_image(),
            errors=tuple(error for error in kernel.messages if error.sequence > known.handled),
            kernel_can=kernel.kind.updates,
            settled=settled,
        )
        asked = self.config.verify.image is Verify.ALWAYS or (
            self.config.verify.image is Verify.IN_DOUBT and not observed.capability.updates
        )
        if observed.verdict.state is not ImageState.NO_IMAGE and not (kernel.kind.readable and asked):
            not_read = Verdict(ImageState.UNREADABLE, reason=Cause.NOT_READ, detail="not permitted")
            observed = replace(observed, image=None, verdict=not_read)
        self.seen = observed.verdict.state
        return observed

    def machine(self) -> Fingerprint:
        return self.kernel.fingerprint()

    def is_loaded(self) -> bool:
        self.step()
        self.look()
        return self.kernel.image is not None

    is_loaded_now = is_loaded

    def look(self) -> None:
        """Raises OSError."""
        if self.obstacles.unreadable:
            raise OSError("crash_loaded holds ''; expected 0 or 1")

    def limits(self) -> Limits:
        return Limits("kexec_load_disabled is 1" if self.obstacles.disabled else "", None, False)

    def save(self, known: Record) -> bool:
        self.step()
        if self.obstacles.unwritable:
            if self.kernel.image is not None:
                self.kernel.image.elusive = True  # which machine it describes by now is not written down
            return False
        record.write(self.root, known)
        self.saves += 1
        return True

    def lacking(self) -> str:
        """By what the distribution's loader would give to kexec."""
        if self.obstacles.no_loader:
            return ""
        return "acpi_no_memhotplug" if self.kernel.kind.memory_hotplug and not self.distribution.safe else ""

    def wanting(self) -> str:
        return units.wanting(self.units())

    # --- Operations: others who load -----------------------------------------------------------------------------

    def loader(self) -> LoaderChoice:
        if self.obstacles.no_loader:
            raise NoLoader("nobody here says what is to be loaded")
        return LoaderChoice.KDUMP_TOOLS

    def units(self) -> States:
        return None if self.obstacles.silent else (self.distribution.state(),)

    def wait_until_idle(self, loader: LoaderChoice) -> tuple[bool, States]:
        self.step()
        return False, self.units()

    def changed(self, loader: LoaderChoice, before: States) -> tuple[bool, bool]:
        self.step()
        now = self.units()
        return units.was_at_work(before, now), units.was_stopped(before, now)

    def was_stopped(self, pending: Pending) -> bool:
        self.step()
        before = tuple(UnitState(unit.name, unit.active, unit.enabled) for unit in pending.units)
        stopped = units.was_stopped(before or None, self.units())
        if not stopped and self.wanted is False:
            assert self.obstacles.silent, "the operator has stopped kdump, and systemd says so"
            self.wanted = None
        return stopped

    def unload(self, loader: LoaderChoice) -> None:
        self.step()
        if self.obstacles.stuck:
            raise LoadFailed("kexec -p -u failed: Device or resource busy")
        self.kernel.drop()

    # --- Operations: loading -------------------------------------------------------------------------------------

    def methods(
        self, loader: LoaderChoice, limits: Limits, say: Callable[[str], None], *, renew: bool = False
    ) -> list[Method]:
        self.step()
        self.pass_time(1.0)
        distribution = Method(Kind.DISTRIBUTION, "kdump-config reload", lambda limit: None)
        if self.obstacles.not_recorded or self.obstacles.kexec == "lies":
            return [distribution]
        by_load = Method(
            Kind.KEXEC_LOAD, "kexec -c --hotplug", lambda limit: None, updatable=self.kernel.kind.updates
        )
        return [by_load, Method(Kind.KEXEC_FILE_LOAD, "kexec -s", lambda limit: None), distribution]

    def check(self, method: Method, known: Mapping[str, list[int]]) -> dict[str, list[int]]:
        self.step()
        if self.obstacles.not_ready and method.kind is not Kind.DISTRIBUTION:
            raise NotReady("the initrd is being written")
        return {}

    def load(self, method: Method) -> None:
        assert not self._loading, "two loads at once"
        self._loading = True
        try:
            self._load(method)
        finally:
            self._loading = self.kernel.locked = False

    def _load(self, method: Method) -> None:
        kernel, own = self.kernel, method.kind is Kind.DISTRIBUTION
        if own and self.obstacles.kexec == "lies":
            return  # it ends in success because somebody else holds its lock
        if own:
            kernel.drop()
            self.pass_time(3.0)
        blocks, cpus = set(kernel.blocks), set(kernel.present)
        if method.kind is Kind.KEXEC_LOAD:
            blocks -= self.distribution.misses
        self.step()  # laid out: what changes from now on is not in it
        if self.obstacles.disabled or self.obstacles.kexec == "refused":
            raise LoadFailed("kexec failed: Operation not permitted")
        kernel.locked = True
        kernel.drop()
        self.pass_time(0.2)
        self.step()  # the old image is gone
        if self.obstacles.kexec == "dropped":
            raise LoadFailed("kexec failed with status -9")
        kernel.locked = False
        updatable = self.distribution.updatable if own else True
        kernel.load(blocks, cpus, updatable=updatable, safe=self.distribution.safe if own else True, ours=True)
        self.loads += 1
        self.step()
        if self.obstacles.kexec == "late":
            raise LoadFailed("kexec failed with status -9")

    @contextmanager
    def keep_keys(self, known: Record) -> Iterator[None]:
        try:
            yield
        finally:
            known.keys_reused = False

    @contextmanager
    def meter(self) -> Iterator[Meter]:
        yield Meter(self.kernel, self.kernel.clock.now, self.kernel.seconds_absent())

    # --- the record, from outside --------------------------------------------------------------------------------

    def corrupt_record(self) -> None:
        if self.wanted is False and not self.kernel.image:
            self.wanted = None  # it may have said that a reload is pending
        if self.kernel.image is not None:
            # What machine it describes is forgotten.
            self.kernel.image.noticed = False
            self.kernel.image.elusive |= self.kernel.verdict().state is not ImageState.CURRENT
        with contextlib.suppress(FileNotFoundError):
            (self.root / RECORD).write_bytes(b"\xff garbage")
            self.saves += 1
