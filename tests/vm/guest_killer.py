# SPDX-License-Identifier: GPL-2.0-or-later
"""In the guest: kill -9 a process of kdumphpd's in the next reload. Standard library only, see inside.py.

    guest_killer loader|helper|listener gap|any DELAY PICK

`gap`: DELAY seconds after no image is loaded any more; `any`: after the loader, or the helper, is there. PICK, from
0 up to 1, chooses where several processes are the target. Makes READY when it waits, and prints {"name", "gap"} in
the end: who was killed, empty for nobody because it was over by then, and whether no image was loaded just then.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.vm.guest_sampler import go_first, is_loaded, open_loaded

READY = Path("/run/killer.ready")
INTERVAL = 0.001  # seconds

GROUPS = Path("/sys/fs/cgroup/system.slice")
HELPER = "system-kdumphpd*helper.slice/kdumphpd-helper@*.service/cgroup.procs"
TRANSIENT = "kdumphpd-load.service/cgroup.procs"
LISTENER = "kdumphpd.service/cgroup.procs"

LOADERS = ("kexec", "kdump-config", "kdump-config.real")


def processes(*patterns: str) -> Iterator[tuple[int, list[str]]]:
    """Number and command line of each process in the control groups of these names."""
    for members in (path for pattern in patterns for path in GROUPS.glob(pattern)):
        try:
            numbers = [int(word) for word in members.read_text().split()]
        except OSError:
            continue  # a unit that is just over
        for number in numbers:
            try:
                yield number, Path(f"/proc/{number}/cmdline").read_text().split("\0")
            except OSError:
                continue


def loaders() -> list[int]:
    """kexec, and kdump-config whose interpreter comes first."""
    return [n for n, argv in processes(HELPER, TRANSIENT) if any(Path(word).name in LOADERS for word in argv[:2])]


def helper() -> list[int]:
    return [n for n, argv in processes(HELPER) if any(word.endswith("kdumphpd/helper") for word in argv)]


def listener() -> list[int]:
    return [n for n, argv in processes(LISTENER) if any(Path(word).name == "kdumphpd" for word in argv)]


TARGETS: dict[str, Callable[[], list[int]]] = {"loader": loaders, "helper": helper, "listener": listener}


def main(target: str, moment: str, delay: float, pick: float) -> None:
    go_first()
    descriptor = open_loaded()
    find = TARGETS[target]
    begun = loaders if target == "loader" else helper
    READY.touch()
    while is_loaded(descriptor) if moment == "gap" else not begun():
        time.sleep(INTERVAL)
    time.sleep(delay)
    in_gap = not is_loaded(descriptor)
    name = ""
    if found := find():
        pid = found[int(pick * len(found))]
        name = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
        os.kill(pid, signal.SIGKILL)
    print(json.dumps({"name": name, "gap": in_gap}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
