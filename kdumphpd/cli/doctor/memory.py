# SPDX-License-Identifier: GPL-2.0-or-later
"""Is there room for more memory ranges in an image, and does hot-added memory come online?"""

import re
from collections.abc import Iterable

from kdumphpd.cli.doctor.finding import Finding, failure, for_root, ok, skipped, warning
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.cli.words import count
from kdumphpd.image.errors import ImageError
from kdumphpd.image.iomem import read_iomem

NAME = "ranges"

# Of a release. Fedora and openSUSE have it beside the modules as well.
CONFIG, CONFIG_OF_MODULES = "boot/config-{}", "usr/lib/modules/{}/config"

AUTO_ONLINE = "sys/devices/system/memory/auto_online_blocks"
NEAR = 0.8  # a share of the limit


def check(probe: Probe) -> Iterable[Finding]:
    yield _ranges(probe)
    policy = probe.text(AUTO_ONLINE)
    if policy is None:
        yield ok("hot-add", "this kernel can't hot-add memory")
    elif policy == "offline":
        yield warning(
            "hot-add",
            "auto_online_blocks is offline",
            "hot-added memory stays offline, and is not dumped, until somebody brings it online",
            f"echo online_movable > /{AUTO_ONLINE}, or memhp_default_state=online_movable on the command line",
        )
    else:
        yield ok("hot-add", f"hot-added memory comes online by itself ({policy})")


def limit(probe: Probe) -> int | None:
    """CONFIG_CRASH_MAX_MEMORY_RANGES of the running kernel; None where it does not tell, or has no such limit.

    Raises OSError where its configuration can't be read.
    """
    for path in (CONFIG, CONFIG_OF_MODULES):
        found = re.search(
            r"^CONFIG_CRASH_MAX_MEMORY_RANGES=(\d+)$", probe.text(path.format(probe.release)) or "", re.MULTILINE
        )
        if found:
            return int(found[1])
    return None


def _ranges(probe: Probe) -> Finding:
    if not any(probe.facts.updates.values()):
        return ok(NAME, "this kernel updates no image, so there is no room to run out of")
    try:
        most = limit(probe)
    except PermissionError:
        return for_root(NAME, "how many memory ranges an image has room for is for root to see")
    if most is None:
        path = CONFIG.format(probe.release)
        return skipped(NAME, f"/{path} does not tell how many memory ranges an image has room for")
    try:
        ranges = len(read_iomem(probe.root).ram)
    except (OSError, ImageError):
        return for_root(NAME, "how many memory ranges there are is for root to see")
    text = f"{count(ranges, 'memory range')}, and an image has room for {most} (CONFIG_CRASH_MAX_MEMORY_RANGES)"
    if ranges > most:
        return failure(NAME, text, "the kernel leaves out what is more", "online memory in larger pieces")
    if ranges > NEAR * most:
        return warning(NAME, text, "the kernel will leave out what is more", "online memory in larger pieces")
    return ok(NAME, text)
