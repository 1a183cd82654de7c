# SPDX-License-Identifier: GPL-2.0-or-later
"""Under pressure: others load too, a loader hangs, a burst does not end.

On a kernel that never updates an image, so that every DIMM makes it out of date.
"""

import contextlib
import time

import pytest

from tests.vm import inside, journal, kdump
from tests.vm.hotplug import HotplugFailed
from tests.vm.qemu import Machine
from tests.vm.results import Result

MAX_UNPROTECTED = 0.05  # the configuration's default

BEAT_S = 1.0  # from one DIMM to the next
SLOTS = 48  # DIMMs at a time

# Somebody at the keyboard who loads again and again, and counts how often the lock was busy for them. Most of the
# loads are of a kernel to boot into: they hold the lock as long, and leave our image, and what it lacks, as they are.
CONTENDER = """
touch /run/contending
while [ -e /run/contending ]; do
    eval "$(sed 's/ -p / -p -s /' /var/crash/kexec_cmd)"
    for turn in 1 2 3 4; do eval "$(sed 's/ -p / -l -s /' /var/crash/kexec_cmd)"; done
done 2>&1 | grep -c 'resource busy'
"""
# Many looks at the image, so that some fall between their loads, which make it current as ours do.
KEEN = """
[events]
settle_time = 0.2
max_delay = 1
[reload]
max_unprotected = 1
"""

# A loader that hangs, with a child of its own and one in another session, while there is /run/hang.
HANGING = """#!/bin/sh
case " $* " in
    *" -p "*" -u "* | *" -u "*" -p "*) ;;
    *" -p "*) [ ! -e /run/hang ] || { setsid -f sleep 86401; sleep 86402; } ;;
esac
exec /usr/sbin/kexec.real "$@"
"""

# What leaves the machine without an image for longest, so that the bound has something to do.
SLOW = """
[reload]
syscall = "file"
"""

DEFERRED = "0c6964edb0c2456ba1a77b4adb4663d7"


def met_others(machine: Machine) -> int:
    """How often a load of ours has found the kernel's lock taken."""
    return journal.count(machine, journal.HELPER, "holds the lock of the kernel")


@pytest.mark.guests("debian12")
def test_contention(machine: Machine, result: Result) -> None:
    """Somebody else loads in a loop during a burst: whoever finds the lock taken waits, and the image is right."""
    online_by_itself(machine)
    machine.write_file("/etc/kdumphpd.toml.d/keen.toml", KEEN)
    machine.run("systemctl reload kdumphpd")
    before = kdump.seen(machine)
    with inside.sampling(machine) as sampled:
        contender = machine.start(CONTENDER)
        machine.wait_until("test -e /run/contending")
        for _ in range(SLOTS):
            machine.add_memory(128)
            time.sleep(BEAT_S)
            if met_others(machine):
                break
        machine.run("rm /run/contending")
        busy = int(contender.wait(kdump.SETTLED_S, check=False).stdout)
        kdump.wait_settled(machine)
    assert met_others(machine)
    after = kdump.seen(machine)
    kdump.record(
        result, before, after, load="-s", verdict=f"current; ours met others, whose loads were refused {busy} times"
    )
    result.unprotected_ms = round(sampled.unprotected * 1000, 1)
    for first, last in kdump.dimms(machine):
        assert kdump.image_has(machine, first, last)


@pytest.mark.guests("debian12")
def test_hanging_loader(machine: Machine, result: Result) -> None:
    """A loader that hangs is ended with all that it started, the old image stays, and later it is loaded anew."""
    online_by_itself(machine)
    machine.run("mv /usr/sbin/kexec /usr/sbin/kexec.real")
    machine.write_file("/usr/sbin/kexec", HANGING, 0o755)
    machine.write_file("/etc/kdumphpd.toml.d/timeout.toml", "[reload]\ntimeout = 10\n")
    before = kdump.seen(machine)
    machine.run("touch /run/hang")
    with inside.sampling(machine) as sampled:
        machine.add_memory(128)
        failed = kdump.wait_failed(machine, before)
    assert "did not end within 10 s and was killed" in failed.sentence
    assert "the old kdump image is still loaded; trying again in" in failed.sentence
    assert sampled.unprotected == 0
    assert kdump.loaded(machine)
    machine.run("rm /run/hang")
    kdump.wait_settled(machine)
    assert machine.run("pgrep -f 'sleep 8640[12]'", check=False).stdout == ""
    after = kdump.seen(machine)
    assert after.reloads > before.reloads
    kdump.record(result, before, after, load="kdump-tools", verdict="current")


@pytest.mark.guests("debian12")
def test_endless_burst(machine: Machine, result: Result) -> None:
    """A minute of DIMMs that come and go."""
    burst(60, machine, result)


@pytest.mark.long
@pytest.mark.guests("debian12")
def test_endless_burst_long(machine: Machine, result: Result) -> None:
    """Five minutes of them."""
    burst(300, machine, result)


def burst(seconds: float, machine: Machine, result: Result) -> None:
    """DIMMs come and go without pause: a bounded share of the time is without an image, and the last one is right."""
    online_by_itself(machine)
    machine.write_file("/etc/kdumphpd.toml.d/slow.toml", SLOW)
    before = kdump.seen(machine)
    plugged: list[str] = []
    with inside.sampling(machine, 0.001) as sampled:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(BEAT_S)
            plugged.append(machine.add_memory(128))
            if len(plugged) == SLOTS:
                unplug(machine, plugged)
        kdump.wait_settled(machine)
        kdump.wait_allowed(machine)
    after = kdump.seen(machine)
    deferred = journal.read(machine, f"MESSAGE_ID={DEFERRED}")
    kdump.record(result, before, after, load="kdump-tools")
    result.unprotected_ms = round(sampled.unprotected * 1000, 1)
    result.verdict = (
        f"current; {sampled.share:.1%} of {sampled.seconds:.0f} s without an image, {len(deferred)} deferred"
    )
    assert sampled.share <= MAX_UNPROTECTED
    assert after.reloads >= before.reloads + 2
    assert deferred
    assert all("reload deferred by" in line for line in deferred)
    for first, last in kdump.dimms(machine):
        assert kdump.image_has(machine, first, last)


def unplug(machine: Machine, plugged: list[str]) -> None:
    """Take away half of the DIMMs, the newest first: little of them is in use. What can not be given back stays."""
    for _ in range(SLOTS // 2):
        with contextlib.suppress(HotplugFailed):
            machine.remove_memory(plugged.pop())


def online_by_itself(machine: Machine) -> None:
    """Let the kernel bring online what is plugged, so that it can go again."""
    machine.run("echo online_movable > /sys/devices/system/memory/auto_online_blocks")
