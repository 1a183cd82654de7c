# SPDX-License-Identifier: GPL-2.0-or-later
"""Is memory reserved for the capture kernel, and enough of it for today's memory?"""

import re
from collections.abc import Iterable, Mapping

from kdumphpd.cli.doctor.finding import Finding, failure, for_root, ok, warning
from kdumphpd.cli.doctor.probe import Probe, Said
from kdumphpd.config import LoaderChoice
from kdumphpd.image.errors import ImageError
from kdumphpd.image.iomem import Iomem, read_iomem
from kdumphpd.image.ranges import total
from kdumphpd.messages import size

NAME = "reservation"
MIB = 1 << 20

SUSE = "kdumptool commandline -u (where it does not know that: yast2 kdump)"
RESERVE: Mapping[LoaderChoice | None, str] = {
    LoaderChoice.KDUMP_TOOLS: "add crashkernel=512M to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, update-grub, "
    "reboot",
    LoaderChoice.KDUMPCTL: "kdumpctl reset-crashkernel --reboot",
    LoaderChoice.SUSE: f"{SUSE}, reboot",
}

# PowerPC does not list its reservation in /proc/iomem.
DEVICE_TREE = "proc/device-tree/chosen/linux,crashkernel-size"

SUFFIXES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

# crashkernel= by the size of the memory. Before it compares, the kernel rounds that up by what firmware keeps.
FOR_MEMORY = re.compile(r"(\d+[KMGT]?)-(\d+[KMGT]?)?:(\d+[KMGT]?)")
ROUNDED = 128 * MIB


def check(probe: Probe) -> Iterable[Finding]:
    if probe.facts.by_fadump:
        yield ok(NAME, "fadump is enabled: the firmware keeps the memory")
        return
    if not probe.facts.crashkernel:
        yield failure(
            NAME,
            "the kernel was booted without crashkernel=",
            "no memory is reserved, so no image can be loaded",
            RESERVE.get(probe.loader, "add crashkernel=512M to the kernel's command line, reboot"),
        )
        return
    iomem = _iomem(probe)
    reserved = _reserved(probe, iomem)
    if reserved is None:
        yield for_root(NAME, "crashkernel= was given; how much is reserved is for root to see")
        return
    if not reserved:
        yield failure(
            NAME,
            "crashkernel= was given, and nothing is reserved",
            "the kernel found no room for it, or could not read the value",
            "journalctl -k -b -g crashkernel",
        )
        return
    yield from _compare(probe, reserved, total(iomem.ram) if iomem else None)


def _raise(loader: LoaderChoice | None, mebibytes: int) -> str:
    """How the boot loader is told to reserve more."""
    match loader:
        case LoaderChoice.KDUMPCTL:
            return f"grubby --update-kernel=ALL --args=crashkernel={mebibytes}M"
        case LoaderChoice.SUSE:
            return SUSE  # it divides them into what has to be below 4 GiB and the rest
    return f"raise crashkernel= on the kernel's command line to {mebibytes}M"


def _iomem(probe: Probe) -> Iomem | None:
    try:
        return read_iomem(probe.root)
    except (OSError, ImageError):
        return None


def _reserved(probe: Probe, iomem: Iomem | None) -> int | None:
    """Bytes that are reserved; None where that can't be seen."""
    if iomem and iomem.crash_kernel:
        return total(iomem.crash_kernel)
    try:
        return int.from_bytes((probe.root / DEVICE_TREE).read_bytes(), "big")
    except OSError:
        return None if iomem is None else 0


def _compare(probe: Probe, reserved: int, memory: int | None) -> Iterable[Finding]:
    wanted, source = estimate(probe, memory)
    if wanted is None:
        yield ok(NAME, f"{size(reserved)} is reserved; {source}")
    elif reserved >= wanted:
        yield ok(NAME, f"{size(reserved)} is reserved, {source} asks for {size(wanted)}")
    else:
        yield warning(
            NAME,
            f"{size(reserved)} is reserved, {source} asks for {size(wanted)}",
            "the capture kernel may run out of memory, and then there is no dump",
            f"{_raise(probe.loader, wanted // MIB)}, reboot; kdumphpctl doctor after each hot-add",
        )


def estimate(probe: Probe, memory: int | None) -> tuple[int | None, str]:
    """Bytes that the distribution's own estimator wants, and who says so; None where none does.

    `memory`: bytes of RAM today; None where that can't be seen.
    """
    if not probe.is_root:
        return None, "how much it ought to be is for root to ask"
    # Not `kdumpctl estimate`, which builds an initrd that is due.
    if (said := _ask(probe, "kdumpctl", "get-default-crashkernel", "kdump")) is not None:
        wanted = by_memory(said.text, memory)
        if wanted is not None:
            return wanted, "`kdumpctl get-default-crashkernel`"
    if (said := _ask(probe, "kdumptool", "calibrate")) is not None:
        values = dict(re.findall(r"^(Low|High):\s*(\d+)$", said.text, re.MULTILINE))
        if values:
            return sum(map(int, values.values())) * MIB, "`kdumptool calibrate`"
    said = _ask(probe, "makedumpfile", "--mem-usage", "/proc/kcore")
    if said is not None and (found := re.search(r"Total pages on system:\s*(\d+)", said.text)):
        page = int(match[1]) if (match := re.search(r"Page size:\s*(\d+)", said.text)) else 4096
        total = size(int(found[1]) * page)
        return None, f"`makedumpfile --mem-usage` counts {total} of memory to dump, and asks for no amount"
    return None, "no estimator is installed (kdumpctl, kdumptool, makedumpfile)"


def by_memory(ranges: str, memory: int | None) -> int | None:
    """Bytes that ranges ("2G-64G:256M,64G-:512M") want for `memory` bytes; None where that can't be told."""
    found = FOR_MEMORY.findall(ranges)
    if not found or memory is None:
        return None
    rounded = -(-memory // ROUNDED) * ROUNDED
    fitting = (_bytes(want) for low, high, want in found if _bytes(low) <= rounded < (_bytes(high) or rounded + 1))
    return next(fitting, 0)


def _bytes(text: str) -> int:
    """Of "256M"; 0 for nothing."""
    return int(text.rstrip("KMGT") or 0) * SUFFIXES[text.lstrip("0123456789")]


def _ask(probe: Probe, *command: str) -> Said | None:
    """What an estimator says; None where it does not: how much is reserved is known without it."""
    try:
        return probe.run(*command)
    except OSError:
        return None
