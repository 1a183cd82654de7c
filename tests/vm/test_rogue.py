# SPDX-License-Identifier: GPL-2.0-or-later
"""The listener's user gone bad: all it can do is ask, and asking does no harm, however it is done."""

from pathlib import Path

import pytest

from tests.vm import inside, kdump
from tests.vm.agent import Job
from tests.vm.qemu import Machine
from tests.vm.results import Result

ROGUE = Path(__file__).with_name("rogue.py")
INSTALLED = "/usr/local/lib/rogue.py"
SECONDS = 30

AS_LISTENER = "setpriv --reuid _kdumphpd --regid _kdumphpd --clear-groups"

# One block of memory a second, so that the image is out of date most of the time.
DRIFT = f"for s in $(grep -Lx online {kdump.BLOCKS}/state); do echo online_movable > $s; sleep 1; done"

SHARE = 0.05  # reload.max_unprotected
TOLERANCE = 1.1  # two meters


def rage(machine: Machine, seconds: int = SECONDS) -> Job:
    machine.write_file(INSTALLED, ROGUE.read_bytes())
    return machine.start(f"exec {AS_LISTENER} python3 {INSTALLED} {seconds}")


def counted(job: Job) -> str:
    made, refused = job.wait(SECONDS + 300).stdout.split()
    return f"{made} connections in {SECONDS} s, {refused} refused"


def works_as_before(machine: Machine) -> None:
    """An operator's request is served, and a burst is handled."""
    machine.run("systemctl is-active kdumphpd-helper.socket kdumphpd.service")
    machine.wait_until("kdumphpctl rearm", timeout=kdump.BURST_S)
    assert "up to date" in machine.run("kdumphpctl rearm", timeout=120).stdout
    before = kdump.seen(machine)
    kdump.grow(machine)
    kdump.wait_current(machine, before, events=2)
    assert kdump.inspect(machine)["verdict"]["state"] == "current"


@pytest.mark.guests("debian12", "debian13")
def test_rogue_current(machine: Machine, result: Result) -> None:
    """With an image that is right nothing is reloaded."""
    before = kdump.reloads_begun(machine)
    with inside.sampling(machine) as seen:
        said = counted(rage(machine))
    assert seen.unprotected == 0
    assert kdump.reloads_begun(machine) == before
    works_as_before(machine)
    result.verdict = f"{said}; no reload"


@pytest.mark.guests("debian12")
def test_rogue_stale(machine: Machine, result: Result) -> None:
    """With an image that is out of date there is never more time without one than the configuration allows."""
    kdump.plug_offline(machine, SECONDS)
    stale_under_fire(machine, result)


@pytest.mark.guests("debian12")
def test_rogue_full(machine: Machine, result: Result) -> None:
    """Nor with a /run that the listener's user has filled up: what bounds it needs no room."""
    kdump.plug_offline(machine, SECONDS)
    # Known to the helper from its first request on.
    machine.run("kdumphpctl rearm", timeout=120)
    machine.run(f"{AS_LISTENER} dd if=/dev/zero of=/run/kdumphpd/fill bs=4k 2>&-; [ $(stat -f -c %f /run) = 0 ]")
    stale_under_fire(machine, result)


def stale_under_fire(machine: Machine, result: Result) -> None:
    """As many blocks as SECONDS come online, one by one, while the listener's user does its worst."""
    with inside.sampling(machine) as seen:
        rogue = rage(machine)
        machine.run(DRIFT, timeout=SECONDS * 4)
        said = counted(rogue)
        kdump.wait_allowed(machine)
    machine.run("rm -f /run/kdumphpd/fill")
    done = kdump.reloads_begun(machine)
    result.reloads, result.unprotected_ms = done, round(seen.unprotected * 1000, 1)
    result.verdict = f"{said}; {done} reloads, {seen.share:.1%} of {seen.seconds:.0f} s without an image"
    assert done > 0
    assert seen.share <= TOLERANCE * SHARE, result.verdict
    works_as_before(machine)
