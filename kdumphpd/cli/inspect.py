# SPDX-License-Identifier: GPL-2.0-or-later
"""Show what kdump image is loaded, as it lies in memory (root only).

Exit status: that of `kdumphpctl verify`. What can't be read is not shown, and the verdict says why.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from kdumphpd.cli.output import Row, field, show
from kdumphpd.cli.verify import EXIT, word
from kdumphpd.ids import IdSet
from kdumphpd.image.examine import examine
from kdumphpd.image.fdt import Fdt
from kdumphpd.image.ranges import format_size
from kdumphpd.image.reader import Image
from kdumphpd.runtime import LAYOUT


def run(options: argparse.Namespace, root: Path) -> int:
    image, verdict = examine(root, root / LAYOUT)
    lines = [*_lines(image)] if image else []
    lines.append(field("verdict", word(verdict.state), f": {verdict.sentence()}"))
    show(options, {"image": image.to_dict() if image else None, "verdict": verdict.to_dict()}, lines)
    return EXIT[verdict.state]


def _lines(image: Image) -> Iterable[Row]:
    kimage = image.kimage
    yield field("loaded with", "kexec_file_load" if kimage.file_mode else "kexec_load")
    bits = ", ".join(f"{name} {'yes' if value else 'no'}" for name, value in kimage.hotplug_bits.items())
    yield field("hotplug", _hotplug(image), f" ({bits})" if bits else "")
    yield from _table("reserved", map(str, image.reservation))
    yield from _table(
        "segments", (f"{segment.range}, {format_size(segment.bufsz)} of it loaded" for segment in kimage.segments)
    )
    if image.elfcorehdr:
        yield from _table("memory", map(str, image.elfcorehdr.loads))
        yield field("notes", str(len(image.elfcorehdr.notes)))
    if image.fdt:
        yield field("FDT CPUs", _cpus(image.fdt))
    if image.unreserved:
        free = format_size(sum(r.size for r in image.unreserved))
        yield field("not reserved", f"{free} of the elfcorehdr segment: what the kernel writes there may be lost")
    if image.command_line is not None:
        yield field("command line", image.command_line)
    yield field("identity", image.identity)


def _hotplug(image: Image) -> str:
    if not image.kimage.hotplug_bits:
        return "this kernel updates no image"
    if not image.kimage.updatable:
        return "the kernel is not permitted to update it"
    if image.checksummed:
        return "the kernel updates it, although purgatory's checksum covers the elfcorehdr"
    return "the kernel updates it" if image.updatable else "the kernel updates it in memory that is not reserved"


def _cpus(fdt: Fdt) -> str:
    if fdt.room is None:
        return "none listed"
    return f"{IdSet(fdt.hw_ids)}, room for {fdt.room} more nodes"


def _table(title: str, rows: Iterable[str]) -> Iterable[Row]:
    for row in rows:
        yield field(title, row)
        title = ""
