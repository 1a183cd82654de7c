# SPDX-License-Identifier: GPL-2.0-or-later
"""Scripts of the tests' own that run in a guest: guest_sampler.py and guest_killer.py."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm.agent import Job
from tests.vm.guest_killer import READY
from tests.vm.qemu import Machine

HERE = Path(__file__).parent
THERE = "/usr/local/lib/inside"
SCRIPTS = ("guest_sampler", "guest_killer")


@dataclass
class Sampled:
    """What a sampler saw. Times in seconds; empty until it has stopped."""

    seconds: float = 0.0
    unprotected: float = 0.0
    gaps: int = 0
    loaded: float = 0.0  # when the last gap ended, by the guest's /proc/uptime

    @property
    def share(self) -> float:
        return self.unprotected / self.seconds


def install(machine: Machine) -> None:
    for name in SCRIPTS:
        machine.write_file(f"{THERE}/tests/vm/{name}.py", (HERE / f"{name}.py").read_text())


def start(machine: Machine, name: str, *arguments: object) -> Job:
    """Start a script."""
    words = shlex.join(map(str, arguments))
    return machine.start(f"cd {THERE} && exec python3 -m tests.vm.{name} {words}")


@contextmanager
def sampling(machine: Machine, interval: float = 0.01) -> Iterator[Sampled]:
    """Sample crash_loaded in the guest meanwhile, every so many seconds; what was seen is there afterwards.

    An emulated guest has little left to do anything else with a sample every millisecond.
    """
    install(machine)
    job = start(machine, "guest_sampler", interval)
    machine.wait_until("pgrep -f tests.vm.guest_sampler")
    sampled = Sampled()
    yield sampled
    job.stop()
    for key, value in json.loads(job.wait().stdout).items():
        setattr(sampled, key, value)


def start_killer(machine: Machine, *arguments: object) -> Job:
    """Start a killer, and return when it lies in wait."""
    machine.run(f"rm -f {READY}")
    job = start(machine, "guest_killer", *arguments)
    machine.wait_until(f"test -e {READY}")
    return job


def killed(job: Job, timeout: float) -> dict[str, Any]:
    """What a killer did."""
    return dict(json.loads(job.wait(timeout).stdout))
