# SPDX-License-Identifier: GPL-2.0-or-later
"""What the machine was when an image was loaded: it stands in where the image itself can't be read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdumphpd.ids import IdSet
from kdumphpd.image.blocks import online_blocks
from kdumphpd.image.coherent import coherent_memory
from kdumphpd.image.errors import Cause, ParseError, UnreadableError
from kdumphpd.image.identity import digest
from kdumphpd.image.iomem import read_iomem
from kdumphpd.image.ranges import Range, Ranges, format_size, intersect, subtract, total
from kdumphpd.sysfs import block_size, read_attribute

# More ranges than that are kept as a digest alone, so that the record stays below a page.
MAX_RANGES = 48
MAX_CPUS = 256  # characters of the list; a longer one is kept as a digest
OF_CPUS = "digest:"  # stands before it
MAX_CPU = 1 << 16  # NR_CPUS is 8,192 at most; what is larger would take for ever to go through
UNKNOWN = "?"
PERHAPS = 1  # byte: stands for memory that may have been removed, where only a digest tells that something has

PRESENT = "sys/devices/system/cpu/present"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """ram: System RAM, what hotplug adds counting only where an online block covers it; sorted and disjoint.

    cpus: the CPUs that are present, in the kernel's list format, or "digest:" and the digest of a long list that was
    stored. digest and size (bytes): of RAM that has too many ranges to be kept; ram is empty then.
    """

    ram: Ranges
    cpus: str
    digest: str = ""
    size: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it ready for JSON, in less than 2,500 bytes."""
        cpus = self.cpus if len(self.cpus) <= MAX_CPUS else _name_cpus(self.cpus)
        if self.digest or len(self.ram) > MAX_RANGES:
            return {"digest": self.digest or _name(self.ram), "size": self.size or total(self.ram), "cpus": cpus}
        return {"ram": [[r.start, r.end] for r in self.ram], "cpus": cpus}

    @classmethod
    def from_json(cls, value: object) -> "Fingerprint":
        """Raises ValueError for what to_json() has not returned."""
        try:
            fields = dict(value)  # type: ignore[call-overload]
            ram = tuple(Range(int(start), int(end)) for start, end in fields.get("ram", ()))
            known = cls(ram, str(fields["cpus"]), str(fields.get("digest", "")), int(fields.get("size", 0)))
        except (TypeError, KeyError, OverflowError) as error:
            raise ValueError(f"not a fingerprint: {error!r}") from error
        if not known.cpus.startswith(OF_CPUS) and any(
            last >= MAX_CPU for _, last in IdSet.parse(known.cpus).ranges()
        ):
            raise ValueError(f"not a fingerprint: there is no such CPU: {known.cpus[:80]!r}")
        return known


@dataclass(frozen=True, slots=True)
class Change:
    """What is different now. Memory in bytes, CPUs in the kernel's list format.

    PERHAPS and "?" where only a digest is left.
    """

    ram_added: int
    ram_removed: int
    cpus_added: str
    cpus_removed: str

    def __bool__(self) -> bool:
        return bool(self.ram_added or self.ram_removed or self.cpus_added or self.cpus_removed)

    def sentence(self) -> str:
        """Return it in words: "2 GiB of memory and CPU 3 were added since the image was loaded"."""
        parts = [
            f"{' and '.join(what)} {'were' if len(what) > 1 else 'was'} {verb}"
            for verb, what in (
                ("added", _what(self.ram_added, self.cpus_added)),
                ("removed", _what(self.ram_removed, self.cpus_removed)),
            )
            if what
        ]
        return f"{', '.join(parts)} since the image was loaded" if parts else ""


def change(before: Fingerprint, now: Fingerprint) -> Change:
    """Compare. Where only digests are left, any difference counts as memory removed: that no kernel repairs."""
    added, removed = _difference(before, now)
    if OF_CPUS in before.cpus + now.cpus:
        differs = _name_cpus(before.cpus) != _name_cpus(now.cpus)
        return Change(added, removed, *((UNKNOWN, UNKNOWN) if differs else ("", "")))
    earlier, present = IdSet.parse(before.cpus), IdSet.parse(now.cpus)
    return Change(
        added,
        removed,
        str(IdSet(number for number in present if number not in earlier)),
        str(IdSet(number for number in earlier if number not in present)),
    )


def read_fingerprint(root: Path) -> Fingerprint:
    """Read what /proc and /sys below root say. Raises UnreadableError."""
    try:
        ram = subtract(read_iomem(root).ram, (device.range for device in coherent_memory(root)))
        block = block_size(root)
        if block:
            ram = intersect(ram, online_blocks(root, block, ram))
        cpus = read_attribute(root, PRESENT) or ""
        IdSet.parse(cpus)
    except OSError as error:
        raise UnreadableError(Cause.NO_SYSFS, f"{error.filename}: {error.strerror}") from error
    except (ParseError, ValueError) as error:
        raise UnreadableError(Cause.UNKNOWN_FORMAT, str(error)) from error
    return Fingerprint(ram, cpus)


def _difference(before: Fingerprint, now: Fingerprint) -> tuple[int, int]:
    if not before.digest and not now.digest:
        return total(subtract(now.ram, before.ram)), total(subtract(before.ram, now.ram))
    if (before.digest or _name(before.ram)) == (now.digest or _name(now.ram)):
        return 0, 0
    difference = (now.size or total(now.ram)) - (before.size or total(before.ram))
    return max(difference, 0), max(-difference, PERHAPS)


def _what(ram: int, cpus: str) -> list[str]:
    memory = ["perhaps some memory"] if ram == PERHAPS else [f"{format_size(ram)} of memory"] if ram else []
    return memory + (["a CPU" if cpus == UNKNOWN else f"CPU {cpus}"] if cpus else [])


def _name_cpus(cpus: str) -> str:
    return cpus if cpus.startswith(OF_CPUS) else OF_CPUS + digest(cpus.encode())


def _name(ram: Ranges) -> str:
    return digest(repr([(r.start, r.end) for r in ram]).encode())
