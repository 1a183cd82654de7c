# SPDX-License-Identifier: GPL-2.0-or-later
"""In the guest: for how long is no image loaded? An independent answer, to hold against the product's own.

    guest_sampler INTERVAL

Samples crash_loaded every INTERVAL seconds until SIGTERM, then prints {"seconds", "unprotected", "gaps", "loaded"}.
Standard library only: see inside.py.
"""

import contextlib
import json
import os
import signal
import sys
import time

LOADED = ("/sys/kernel/kexec/crash_loaded", "/sys/kernel/kexec_crash_loaded")


def open_loaded() -> int:
    """A descriptor of crash_loaded, to be read at offset 0 again and again."""
    return os.open(next(path for path in LOADED if os.path.exists(path)), os.O_RDONLY)  # noqa: PTH110


def is_loaded(descriptor: int) -> bool:
    return os.pread(descriptor, 1, 0) == b"1"


def uptime() -> float:
    """As /proc/uptime has it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def go_first() -> None:
    """Run before everything else: a sample that comes late is none."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))


def main(interval: float) -> None:
    stopped = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    go_first()
    descriptor = open_loaded()
    began = since = time.monotonic()
    unprotected, gaps, armed, loaded = 0.0, 0, True, 0.0
    while not stopped:
        time.sleep(interval)
        if is_loaded(descriptor) is armed:
            continue
        now = time.monotonic()
        if armed:
            since, gaps = now, gaps + 1
        else:
            unprotected += now - since
            loaded = uptime()
        armed = not armed
    seen = {"seconds": time.monotonic() - began, "unprotected": unprotected, "gaps": gaps, "loaded": loaded}
    print(json.dumps(seen))


if __name__ == "__main__":
    main(float(sys.argv[1]))
