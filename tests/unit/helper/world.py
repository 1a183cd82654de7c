# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that exists only in a test: a kernel with its image, a distribution, an operator, and what may fail.

`FakeSystem` has the operations of a request on it (helper/serve.py, helper/replace.py); `decide` and all that follows
from it is the real thing.
"""

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kdumphpd.config import LoaderChoice
from kdumphpd.helper.observe import Observation
from kdumphpd.helper.record import Pending, Record
from kdumphpd.image.elfcorehdr import ElfCoreHdr
from kdumphpd.image.errors import Cause
from kdumphpd.image.fingerprint import Fingerprint
from kdumphpd.image.kimage import KImage, Segment
from kdumphpd.image.ranges import Range, union
from kdumphpd.image.reader import Image
from kdumphpd.image.verdict import ImageState, Verdict
from kdumphpd.kernel.crash_hotplug import Answer, Capability
from kdumphpd.kernel.kmsg import KernelError
from kdumphpd.kernel.limits import Limits
from kdumphpd.load.choose import NoLoader
from kdumphpd.load.method import Kind, Method
from kdumphpd.load.run import LoadFailed, NotReady
from kdumphpd.load.units import UnitState, wanting, was_at_work, was_stopped

UNIT = "kdump.service"
BLOCK = 1 << 30


class Killed(BaseException):
    """The helper ends here, whatever it was about to do."""


@dataclass
class Loaded:
    """An image. What it describes: numbers of CPUs and of memory blocks."""

    identity: str
    cpus: set[int]
    blocks: set[int]
    updatable: bool
    safe: bool


@dataclass
class World:
    """Everything outside of kdumphpd. Tests change it as they like."""

    kernel_can: bool = True  # crash_hotplug exists
    hotpluggable: bool = False  # memory can be hot-added, and a capture kernel would take it
    readable: bool = True
    cpus: set[int] = field(default_factory=lambda: {0})
    blocks: set[int] = field(default_factory=lambda: {0, 1})
    image: Loaded | None = None
    errors: list[KernelError] = field(default_factory=list)
    active: bool = True
    enabled: bool = True
    changed: int = 1  # of the unit, to be compared
    systemd_answers: bool = True
    has_loader: bool = True
    kexec: str = "works"  # or "refuses" with the old image there, "dies" with none, "blind": sees no new memory
    recording: bool = True
    files_ready: bool = True
    record_writable: bool = True
    load_disabled: bool = False
    record: Record = field(default_factory=Record)  # the file
    now: float = 1000.0
    kill_in: int | None = None  # operations until the helper is killed
    loading: int = 0
    loads: list[str] = field(default_factory=list)  # identities, ours
    during_load: Callable[[], None] | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new_image(self, *, updatable: bool, safe: bool) -> Loaded:
        name = f"image{next(self._numbers)}"
        return Loaded(name, set(self.cpus), set(self.blocks), updatable and self.kernel_can, safe)

    @property
    def describes(self) -> bool:
        """The image that is loaded describes the machine."""
        return self.image is not None and self.image.blocks == self.blocks and self.image.cpus >= self.cpus

    def fingerprint(self) -> Fingerprint:
        ram = union(Range(n * BLOCK, (n + 1) * BLOCK - 1) for n in self.blocks)
        return Fingerprint(ram, ",".join(map(str, sorted(self.cpus))))

    # --- the machine changes -------------------------------------------------------------------------------------

    def online(self, block: int, *, busy: bool = False) -> None:
        self.blocks.add(block)
        if self._updated(busy=busy) and self.image:
            self.image.blocks.add(block)

    def offline(self, block: int, *, busy: bool = False) -> None:
        """x86 leaves it in the image."""
        self.blocks.discard(block)
        self._updated(busy=busy)

    def add_cpu(self, cpu: int, *, busy: bool = False) -> None:
        self.cpus.add(cpu)
        if self._updated(busy=busy) and self.image:
            self.image.cpus.add(cpu)

    def remove_cpu(self, cpu: int) -> None:
        self.cpus.discard(cpu)

    def _updated(self, *, busy: bool) -> bool:
        if not self.kernel_can or self.image is None or not self.image.updatable:
            return False
        if busy:
            sequence = self.errors[-1].sequence + 1 if self.errors else 0
            self.errors.append(
                KernelError(sequence, "crash hp: kexec_trylock() failed, kdump image may be inaccurate")
            )
        return not busy

    # --- the operator --------------------------------------------------------------------------------------------

    def stop(self) -> None:
        self.image, self.active, self.changed = None, False, self.changed + 1

    def restart(self, *, updatable: bool = False, safe: bool = False) -> None:
        self.image = self.new_image(updatable=updatable, safe=safe)
        self.active, self.changed = True, self.changed + 1

    def units(self) -> tuple[UnitState, ...] | None:
        if not self.systemd_answers:
            return None
        state = UnitState(
            UNIT,
            "active" if self.active else "inactive",
            "enabled" if self.enabled else "disabled",
            str(self.changed),
        )
        return (state,)


class FakeMeter:
    seconds = 1.5
    unprotected = 0.0


class FakeSystem:
    """The operations of one request."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._meter = FakeMeter()

    def _step(self) -> None:
        if self.world.kill_in is not None:
            self.world.kill_in -= 1
            if self.world.kill_in < 0:
                self.world.kill_in = None
                self.world.loading = 0
                raise Killed

    def now(self) -> float:
        return self.world.now

    def observe(self, record: Record, *, settled: bool) -> Observation:
        self._step()
        world, image = self.world, self.world.image
        if not world.kernel_can:
            answer = Answer.UNSUPPORTED
        elif image is None:
            answer = Answer.NO
        else:
            answer = (Answer.YES if image.updatable else Answer.NO) if settled else Answer.UNREADABLE
        return Observation(
            verdict=self._verdict(),
            capability=Capability(image is not None, answer, answer),
            machine=world.fingerprint(),
            image=self._image() if world.readable and image else None,
            errors=tuple(error for error in world.errors if error.sequence > record.handled),
            kernel_can=world.kernel_can,
            settled=settled,
        )

    def _verdict(self) -> Verdict:
        world, image = self.world, self.world.image
        if image is None:
            return Verdict(ImageState.NO_IMAGE)
        if not world.readable:
            return Verdict(ImageState.UNREADABLE, reason=Cause.KPTR_RESTRICT, detail="addresses are hidden")
        missing = union(Range(n * BLOCK, (n + 1) * BLOCK - 1) for n in world.blocks - image.blocks)
        gone = union(Range(n * BLOCK, (n + 1) * BLOCK - 1) for n in image.blocks - world.blocks)
        without = tuple(sorted(world.cpus - image.cpus))
        unsafe = "acpi_no_memhotplug is missing" if world.hotpluggable and not image.safe else ""
        stale = missing or gone or without
        state = ImageState.STALE if stale else ImageState.UNSAFE if unsafe else ImageState.CURRENT
        return Verdict(state, missing, gone, without, unsafe=unsafe)

    def _image(self) -> Image:
        image = self.world.image
        assert image is not None
        kimage = KImage(
            False, {"hotplug_support": image.updatable} if self.world.kernel_can else {}, (Segment(0, 1, 1),)
        )
        return Image(kimage, ElfCoreHdr((), ()), None, (), identity=image.identity)

    def machine(self) -> Fingerprint | None:
        return self.world.fingerprint()

    def save(self, record: Record) -> bool:
        self._step()
        if self.world.record_writable:
            self.world.record = copy.deepcopy(record)
        return self.world.record_writable

    def is_loaded(self) -> bool:
        return self.world.image is not None

    is_loaded_now = is_loaded

    def limits(self) -> Limits:
        return Limits("kernel.kexec_load_disabled is 1" if self.world.load_disabled else "", None, locked_down=False)

    def loader(self) -> LoaderChoice:
        if not self.world.has_loader:
            raise NoLoader("nobody here says what is to be loaded")
        return LoaderChoice.KDUMPCTL

    def wait_until_idle(self, loader: LoaderChoice) -> tuple[bool, tuple[UnitState, ...] | None]:
        self._step()
        return False, self.world.units()

    def changed(self, loader: LoaderChoice, before: tuple[UnitState, ...] | None) -> tuple[bool, bool]:
        now = self.world.units()
        return was_at_work(before, now), was_at_work(before, now) and was_stopped(before, now)

    def was_stopped(self, pending: Pending) -> bool:
        before = tuple(UnitState(unit.name, unit.active, unit.enabled) for unit in pending.units)
        return bool(before) and was_stopped(before, self.world.units())

    def methods(
        self, loader: LoaderChoice, limits: Limits, say: Callable[[str], None], *, renew: bool = False
    ) -> list[Method]:
        self._step()
        world = self.world
        own = Method(Kind.DISTRIBUTION, "kdumpctl reload", lambda _: self._own())
        if not world.recording:
            return [own]
        by_load = Method(
            Kind.KEXEC_LOAD, "kexec -c --hotplug", lambda _: self._kexec(), updatable=world.kernel_can, kernel=None
        )
        by_file = Method(Kind.KEXEC_FILE_LOAD, "kexec -s", lambda _: self._kexec(), updatable=world.kernel_can)
        return [by_load, by_file, own]

    def _kexec(self) -> None:
        world = self.world
        assert not world.loading, "two loads at once"
        world.loading += 1
        self._step()
        if world.kexec == "refuses":
            world.loading -= 1
            raise LoadFailed("kexec failed with status 255: Operation not permitted")
        blocks = set(world.image.blocks) if world.image else set(world.blocks)
        world.image = None
        self._meter.unprotected += 0.1
        self._step()
        world.loading -= 1
        if world.during_load:
            world.during_load()
        if world.kexec == "dies":
            raise LoadFailed("kexec failed with status -9: it said nothing")
        image = world.new_image(updatable=True, safe=True)
        if world.kexec == "blind":
            image.blocks = blocks & image.blocks
        world.image = image
        world.loads.append(image.identity)

    def _own(self) -> None:
        self._kexec()
        if self.world.image:
            self.world.image.updatable = self.world.image.safe = False

    def wanting(self) -> str:
        return wanting(self.world.units())

    def unload(self, loader: LoaderChoice) -> None:
        self.world.image = None

    def check(self, method: Method, known: Mapping[str, list[int]]) -> dict[str, list[int]]:
        self._step()
        if not self.world.files_ready:
            raise NotReady("the initrd /boot/initrd is being written: it is looked at again later")
        return {}

    def load(self, method: Method) -> None:
        method.load(1.0)

    @contextmanager
    def keep_keys(self, record: Record) -> Iterator[None]:
        yield
        record.keys_reused = False

    @contextmanager
    def meter(self) -> Iterator[Any]:
        self._meter = FakeMeter()
        yield self._meter

    def lacking(self) -> str:
        """As kdump-tools' command line does, wherever memory can be hot-added."""
        return (
            "acpi_no_memhotplug" if self.world.hotpluggable and self.world.recording and self.world.has_loader else ""
        )
