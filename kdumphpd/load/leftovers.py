# SPDX-License-Identifier: GPL-2.0-or-later
"""Ending what a command has started and left behind in the helper's own unit."""

import contextlib
import os
import signal
import time
from pathlib import Path

# The unit that the helper runs in, one a request: what is in its control group is ours to end.
HELPER_UNIT = "kdumphpd-helper@"

# How often its processes are looked for: they may be quicker to start others than we to end them, and one that sleeps
# in the kernel can't be waited for.
ROUNDS = 100
PAUSE = 0.005  # seconds


def end_others(root: Path = Path("/")) -> None:
    """Kill every other process of our unit: what a loader has started in a session of its own is still its work."""
    with contextlib.suppress(OSError):  # outside of a unit of our own there is nothing that is ours to end
        path = (root / "proc/self/cgroup").read_text().rpartition("::")[2].strip()
        if not Path(path).name.startswith(HELPER_UNIT):
            return
        members = root / "sys/fs/cgroup" / path.lstrip("/") / "cgroup.procs"
        for _ in range(ROUNDS):
            others = {int(word) for word in members.read_text().split()} - {os.getpid()}
            if not others:
                return
            for pid in others:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(PAUSE)
