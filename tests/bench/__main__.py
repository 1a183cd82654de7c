# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures for build/bench/results.json: what receiving uevents costs, and what checking the image does.

Uevents are real, from a network device in namespaces of our own (tests/uevents/namespace.py), whose path stands
for those of CPUs and memory. CPU time is that of this process in user and kernel mode, without making the events.
"""

import gc
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

from kdumphpd.image.examine import examine
from kdumphpd.image.ranges import Range
from kdumphpd.kernel.crash_hotplug import Subsystem
from kdumphpd.listener.coalesce import Coalescer, Uevent
from kdumphpd.listener.receive import Lost, Monitor
from tests.bench import guest
from tests.bench.figure import Figure
from tests.uevents.devices import NET, NET_PATH, is_readable, send
from tests.uevents.namespace import INSIDE, mount, way
from tests.unit.image.builder import GIB, MIB, Kernel

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build/bench/results.json"

EVENTS = 10_000
CHUNK = 500  # what the least receive buffer of an unprivileged process holds
BLOCKS = 262_144  # 64 TiB in blocks of 256 MiB
RANGES = (8, 1024, 8192)  # the kernel plans for 8192 at most, CONFIG_CRASH_MAX_MEMORY_RANGES
TIMES = 5

SO_DETACH_FILTER = 27  # include/uapi/asm-generic/socket.h; not in the socket module

# A listener, and what it occupies.
LISTENER = """
import re
import kdumphpd.listener.daemon
from kdumphpd.listener.receive import Monitor
monitor = Monitor()
with open("/proc/self/smaps_rollup") as file:
    print(*re.findall(r"^(?:Rss|Pss):\\s+(\\d+)", file.read(), re.MULTILINE))
"""


# A request as systemd hands it over, and what it has cost.
HELPER = """
import socket, sys, time
from pathlib import Path
from kdumphpd.helper import request
here, there = socket.socketpair()
here.sendall(b"check\\n")
result = request.answer(there, Path(sys.argv[1]))
assert result.outcome == "current", result
print(time.process_time())
"""


def relevant() -> Figure:
    """Netlink socket → Monitor.read → Coalescer."""
    coalescer = Coalescer(1.0, 10.0)
    monitor = Monitor({NET: NET_PATH})
    spent, number = 0.0, 0
    try:
        while number < EVENTS:
            for _ in range(CHUNK):
                send("online")
            began = time.process_time()
            received = monitor.read()
            spent += time.process_time() - began
            assert len(received) == CHUNK, "nothing was lost"
            events = []
            for event in received:
                assert not isinstance(event, Lost)
                # They come from one device, on request; the coalescer takes them as 10,000 blocks coming online.
                events.append(replace(event, subsystem=Subsystem.MEMORY, number=number, synthetic=False))
                number += 1
            began = time.process_time()
            for event in events:
                coalescer.feed(event, 0.0)
            spent += time.process_time() - began
    finally:
        monitor.close()
    assert coalescer.burst is not None
    assert len(coalescer.burst.blocks["online"]) == EVENTS
    what = f"CPU time for {EVENTS} relevant uevents, from the socket to the burst"
    return Figure("relevant_uevents_cpu", spent * 1000, "ms", what)


def irrelevant() -> Iterator[Figure]:
    """The same socket with our filter and without, each event as it comes."""
    for name, what, filtered in (
        ("irrelevant_uevents", "with our filter", True),
        ("irrelevant_uevents_unfiltered", "on the same socket without our filter", False),
    ):
        monitor = Monitor({Subsystem.CPU: "/devices/system/cpu/"})
        if not filtered:
            with socket.socket(fileno=os.dup(monitor.fileno())) as same:
                same.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        wakeups, spent = 0, 0.0
        try:
            for _ in range(EVENTS):
                send("change")
                if is_readable(monitor):
                    wakeups += 1
                    began = time.process_time()
                    assert monitor.read() == []
                    spent += time.process_time() - began
        finally:
            monitor.close()
        yield Figure(f"{name}_wakeups", wakeups, "wake-ups", f"for {EVENTS} uevents of other devices, {what}")
        yield Figure(f"{name}_cpu", spent * 1000, "ms", f"CPU time for {EVENTS} uevents of other devices, {what}")


def memory() -> Iterator[Figure]:
    """A listener that has just started."""
    command = [sys.executable, "-c", LISTENER]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rss, pss = (int(word) / 1024 for word in done.stdout.split())
    yield Figure("listener_rss", rss, "MiB", "resident memory of a listener with its uevent socket open")
    yield Figure("listener_pss", pss, "MiB", "of that, its share: pages that others use too are divided among them")


def helper() -> Iterator[Figure]:
    """A helper that checks an image that is right, from the start of its interpreter on."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        Kernel(root).write()
        for path, text in (("sys/devices/system/cpu/present", "0-1\n"), ("dev/kmsg", "")):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        (root / "run/kdumphpd-helper").mkdir(parents=True)
        for name, what in (("first", "the first one of a boot"), ("later", "with what the first one has kept")):
            command = [sys.executable, "-c", HELPER, folder]
            spent = [
                float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
                for _ in range(1 if name == "first" else TIMES)
            ]
            yield Figure(
                f"helper_{name}_cpu", median(spent) * 1000, "ms", f"CPU time of a helper that checks, {what}"
            )


def one_burst() -> Iterator[Figure]:
    """The largest machine that is planned for, in the order in which it reports, and in none."""
    events = [Uevent(Subsystem.MEMORY, "online", number) for number in range(BLOCKS)]
    for name, order in (("burst", "in order"), ("burst_shuffled", "in random order")):
        coalescer = Coalescer(1.0, 10.0)
        gc.collect()
        began = time.process_time()
        for event in events:
            coalescer.feed(event, 0.0)
        closed = coalescer.close(1.0)
        spent = time.process_time() - began
        assert closed is not None
        assert len(closed[0].blocks["online"]) == BLOCKS
        what = f"CPU time of the coalescer for one burst of {BLOCKS} blocks, {order}"
        yield Figure(f"{name}_cpu", spent * 1000, "ms", what)
        random.Random(0).shuffle(events)


def checks() -> Iterator[Figure]:
    """The whole question, on files in place of /proc and /sys; the layout is cached, as after a first reading."""
    for number in RANGES:
        blocks = tuple((at, at + 128 * MIB - 1) for at in range(4 * GIB, 4 * GIB + number * 256 * MIB, 256 * MIB))
        for name, what, described in (
            ("current", "that it describes", blocks),
            ("stale", "that it lacks, read twice", ()),
        ):
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder)
                Kernel(root, ram=blocks, loads=described).write()
                cache = root / "layout.json"
                examine(root, cache, lambda _: None)
                gc.collect()
                began = time.process_time()
                for _ in range(TIMES):
                    _, verdict = examine(root, cache, lambda _: None)
                spent = (time.process_time() - began) / TIMES
            assert verdict.state == name
            assert verdict.missing == tuple(Range(*block) for block in blocks if not described)
            what = f"CPU time to compare the loaded image with {number} ranges of memory {what}"
            yield Figure(f"check_{name}_{number}_cpu", spent * 1000, "ms", what)


def main() -> None:
    command = way()
    if INSIDE not in os.environ and command is not None:
        inside = os.environ | {INSIDE: "1"}
        sys.exit(subprocess.run([*command, sys.executable, "-m", "tests.bench"], env=inside, check=False).returncode)
    figures: list[Figure] = []
    if INSIDE in os.environ:
        mount("sysfs", "/sys")
        figures += [relevant(), *irrelevant()]
    else:
        print("No namespaces are permitted here: figures that need real uevents are left out.", file=sys.stderr)
    figures += [*memory(), *helper(), *one_burst(), *checks()]
    figures += guest.figures()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    for figure in figures:
        print(f"{figure.value:>12,.1f} {figure.unit:<9} {figure.what}")
    print(f"\n{RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
