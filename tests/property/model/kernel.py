# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel of the model: CPUs, memory blocks, the loaded image, and what it does to that by itself."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kdumphpd.ids import IdSet
from kdumphpd.image.fingerprint import Fingerprint
from kdumphpd.image.kimage import KImage
from kdumphpd.image.ranges import Range, Ranges, union
from kdumphpd.image.reader import Image
from kdumphpd.image.verdict import ImageState, Verdict
from kdumphpd.kernel.crash_hotplug import Answer, Capability, Subsystem
from kdumphpd.kernel.kmsg import KernelError
from kdumphpd.listener.coalesce import Uevent

BLOCK = 128 << 20  # bytes
BOOT_BLOCKS = frozenset({0, 1})
BLOCKS = range(2, 6)  # that can be hot-added
CPUS = range(1, 4)  # the same

BUSY = "crash hp: kexec_trylock() failed, kdump image may be inaccurate"
TOO_LARGE = "crash hp: update elfcorehdr elfsz 2097152 > memsz 1048576"


@dataclass(frozen=True)
class Kind:
    """What this kernel can do."""

    updates: bool = True  # it has crash_hotplug, and updates images that it is permitted to
    leaves_removed: bool = True  # x86: memory that was removed stays in the image
    readable: bool = True  # not so with kptr_restrict=2
    memory_hotplug: bool = True  # a capture kernel could take hot-added memory for its own


@dataclass
class LoadedImage:
    number: int
    blocks: set[int]
    cpus: set[int]
    updatable: bool
    safe: bool
    ours: bool
    noticed: bool = False  # a request has ended since it was loaded
    # The machine changed before that: only a look into the image can tell whether it is right.
    elusive: bool = False


@dataclass
class Kernel:
    kind: Kind
    clock: "Clock"
    blocks: set[int] = field(default_factory=lambda: set(BOOT_BLOCKS))  # online
    present: set[int] = field(default_factory=lambda: {0})  # CPUs
    online: set[int] = field(default_factory=lambda: {0})  # CPUs
    noticed: set[int] = field(default_factory=lambda: set(BOOT_BLOCKS))  # blocks at the last request
    image: LoadedImage | None = None
    locked: bool = False  # a load is under way
    no_room: bool = False  # for what an update has to write
    messages: list[KernelError] = field(default_factory=list)
    absent: float = 0.0  # seconds without an image, all together
    emit: Callable[[Uevent], None] = lambda _: None
    loaded_number: int = 0  # of the last image
    _absent_since: float | None = 0.0

    # --- hotplug -------------------------------------------------------------------------------------------------

    def memory(self, number: int, *, online: bool) -> None:
        """Memory block `number` is added and brought online, or taken offline and removed."""
        if online == (number in self.blocks):
            return
        (self.blocks.add if online else self.blocks.discard)(number)
        if self.image is not None and not online:
            # Added and removed between two requests: a fingerprint does not tell, and x86 leaves it in the image.
            self.image.elusive |= number not in self.noticed
        if self._updated() and self.image is not None:
            if online:
                self.image.blocks.add(number)
            elif not self.kind.leaves_removed:
                self.image.blocks.discard(number)
        for action in ("add", "online") if online else ("offline", "remove"):
            self.emit(Uevent(Subsystem.MEMORY, action, number))

    def cpu(self, number: int, *, online: bool, removed: bool = False) -> None:
        if online:
            self.present.add(number)
            self.online.add(number)
        else:
            self.online.discard(number)
        if self._updated() and self.image is not None and online:
            self.image.cpus |= self.present
        if removed and not online:
            self.present.discard(number)
        self.emit(Uevent(Subsystem.CPU, "online" if online else "offline", number))

    def _updated(self) -> bool:
        """Whether the update of the loaded image takes place; the kernel says where it fails."""
        if self.image is not None:
            self.image.elusive |= not self.image.noticed
        if not self.kind.updates:
            return False
        if self.locked:
            self._complain(BUSY)
            return False
        if self.image is None or not self.image.updatable:
            return False
        if self.no_room:
            self._complain(TOO_LARGE)
            return False
        return True

    def _complain(self, text: str) -> None:
        self.messages.append(KernelError(len(self.messages) + 10, text))

    # --- loading -------------------------------------------------------------------------------------------------

    def drop(self) -> None:
        if self.image is not None:
            self.image, self._absent_since = None, self.clock.now

    def load(self, blocks: set[int], cpus: set[int], *, updatable: bool, safe: bool, ours: bool) -> None:
        self.drop()
        self.loaded_number += 1
        self.image = LoadedImage(self.loaded_number, blocks, cpus, updatable and self.kind.updates, safe, ours)
        self.absent = self.seconds_absent()
        self._absent_since = None

    def seconds_absent(self) -> float:
        return self.absent + (0.0 if self._absent_since is None else self.clock.now - self._absent_since)

    # --- what it shows -------------------------------------------------------------------------------------------

    def verdict(self) -> Verdict:
        if self.image is None:
            return Verdict(ImageState.NO_IMAGE)
        missing, gone = ranges(self.blocks - self.image.blocks), ranges(self.image.blocks - self.blocks)
        cpus = tuple(sorted(self.online - self.image.cpus))
        unsafe = "acpi_no_memhotplug is missing" if self.kind.memory_hotplug and not self.image.safe else ""
        stale = missing or gone or cpus
        state = ImageState.STALE if stale else ImageState.UNSAFE if unsafe else ImageState.CURRENT
        return Verdict(state, missing, gone, cpus, unsafe=unsafe)

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(ranges(self.blocks), str(IdSet(sorted(self.present))))

    def capability(self, *, settled: bool) -> Capability:
        if self.image is None:
            return Capability(False, Answer.NO, Answer.NO)
        answer = Answer.YES if self.image.updatable else Answer.NO
        if not self.kind.updates:
            answer = Answer.UNSUPPORTED
        elif not settled:
            answer = Answer.UNREADABLE
        return Capability(True, answer, answer)

    def read_image(self) -> Image | None:
        if self.image is None:
            return None
        bits = {"hotplug_support": self.image.updatable} if self.kind.updates else {}
        return Image(KImage(False, bits, ()), None, None, (), identity=f"image {self.image.number}")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0


def ranges(blocks: Iterable[int]) -> Ranges:
    return union(Range(block * BLOCK, (block + 1) * BLOCK - 1) for block in blocks)
