# SPDX-License-Identifier: GPL-2.0-or-later
"""Root's look at what is loaded: the image itself where it can be read, else what the kernel says of it."""

from dataclasses import dataclass
from pathlib import Path

from kdumphpd import memo
from kdumphpd.config import Config, Verify
from kdumphpd.image.errors import ImageError
from kdumphpd.image.examine import examine
from kdumphpd.image.iomem import parse_iomem
from kdumphpd.image.ranges import Ranges, format_size
from kdumphpd.image.reader import Image
from kdumphpd.image.verdict import State, Verdict
from kdumphpd.kernel import crash_hotplug
from kdumphpd.kernel.crash_hotplug import Answer, Capability
from kdumphpd.kernel.fadump import read_fadump
from kdumphpd.storm import Subsystem


@dataclass(frozen=True)
class Sight:
    """One look. `verdict` is None where nobody read the image, because the configuration says so."""

    capability: Capability
    verdict: Verdict | None = None
    image: Image | None = None

    @property
    def stale(self) -> bool:
        return self.verdict is not None and self.verdict.state is State.STALE

    @property
    def current(self) -> bool:
        return self.verdict is not None and self.verdict.state is State.CURRENT

    @property
    def words(self) -> str:
        """What is wrong with the image, or why that can't be told; empty where it is right or nobody looked."""
        told = self.verdict is not None and self.verdict.state in (State.STALE, State.UNREADABLE)
        return self.verdict.sentence() if told and self.verdict else ""

    @property
    def kernel_updates(self) -> bool:
        """Whether the kernel keeps this image current from now on."""
        return self.image.kimage.updatable if self.image else self.capability.covers(Subsystem)


def look(root: Path, settings: Config, memory: memo.Memo) -> Sight:
    """Raises OSError where the kernel's small files can't be read."""
    if read_fadump(root).enabled:
        return _look_at_fadump(root, memory)
    image, verdict = None, None
    if settings.verify.image is not Verify.NEVER:
        image, verdict = examine(root, root / memo.LAYOUT_CACHE)
    if verdict is None or verdict.state is State.UNREADABLE:
        # Only now, for it takes the kexec lock: the kernel's word.
        return Sight(crash_hotplug.look(root), verdict, image)
    loaded = verdict.state is not State.NO_IMAGE
    return Sight(Capability(loaded, cpu=Answer.UNREADABLE, memory=Answer.UNREADABLE), verdict, image)


def _look_at_fadump(root: Path, memory: memo.Memo) -> Sight:
    """fadump has no image to read. What it was registered for is System RAM as it was then, and that we note."""
    capability = crash_hotplug.look(root)
    if not capability.loaded:
        return Sight(capability, Verdict(State.NO_IMAGE))
    if capability.memory is not Answer.NO:
        return Sight(capability)
    try:
        ram = read_ram(root)
    except (OSError, ImageError) as error:
        return Sight(capability, Verdict(State.UNREADABLE, detail=f"/proc/iomem does not tell the memory: {error}"))
    if memory.registered == digest(ram):
        return Sight(capability, Verdict(State.CURRENT))
    amount = format_size(sum(r.size for r in ram))  # tells one change from the next
    if memory.registered:
        stale = f"fadump was registered for other memory than the {amount} that there are now"
    else:
        stale = f"nobody here knows for which memory fadump was registered; there are {amount} now"
    return Sight(capability, Verdict(State.STALE, detail=stale))


def ram_digest(root: Path) -> str:
    """System RAM as it is now, in short; empty where it can't be read."""
    try:
        return digest(read_ram(root))
    except (OSError, ImageError):
        return ""


def read_ram(root: Path) -> Ranges:
    """Raises OSError and ImageError."""
    return parse_iomem((root / "proc/iomem").read_text(errors="replace")).ram


def digest(ram: Ranges) -> str:
    return memo.digest(str(ram))
