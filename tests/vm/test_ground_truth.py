# SPDX-License-Identifier: GPL-2.0-or-later
"""The image in memory is believed rather than a flag: cases in which the flag lies, or nothing can be read."""

import contextlib

import pytest

from tests.vm import kdump
from tests.vm.qemu import Machine
from tests.vm.results import Result

# A way to load → what crash_hotplug says, kimage.file_mode, whether the kernel updates it; x86, measured.
CAPABLE = {
    ("-s",): (("1", "1"), True, True),
    ("-c",): (("0", "0"), False, False),
    ("-c", "--hotplug"): (("1", "1"), False, True),
    ("-a",): (("1", "1"), True, True),
    ("-a", "--hotplug"): (("1", "1"), True, True),
}
# A kernel without crash_hotplug, a kexec without --hotplug.
INCAPABLE = {
    ("-s",): (("absent", "absent"), True, False),
    ("-c",): (("absent", "absent"), False, False),
    ("-a",): (("absent", "absent"), True, False),
}


def test_truth_table(machine: Machine, result: Result) -> None:
    """Flag, kimage and verdict agree, however the image was loaded."""
    kdump.configure(machine, kdump.AS_LOADED)
    known = INCAPABLE if kdump.crash_hotplug(machine) == ("absent", "absent") else CAPABLE
    found = {}
    for options in known:
        kdump.load(machine, *options)
        seen = kdump.inspect(machine)
        kimage = seen["image"]["kimage"]
        found[options] = (kdump.crash_hotplug(machine), kimage["file_mode"], seen["image"]["updatable"])
        assert seen["verdict"]["state"] == "current", options
    assert found == known
    result.verdict = "flag, kimage and verdict agree"


@pytest.mark.guests("debian13", "debian13-backports")
def test_remove(machine: Machine, result: Result) -> None:
    """A DIMM is removed: the flag says fine, the image still has its range; one reload fixes it."""
    machine.run("echo online_movable > /sys/devices/system/memory/auto_online_blocks")
    kdump.load(machine, "-s")
    before = kdump.seen(machine)
    dimm = machine.add_memory(1024)
    grown = kdump.wait_handled(machine, before, events=16)
    assert grown.reloads == before.reloads
    [(first, last)] = kdump.dimms(machine)
    machine.remove_memory(dimm)
    after = kdump.wait_handled(machine, grown, events=16)
    assert after.reloads == before.reloads + 1
    assert "because it did not describe the machine" in after.sentence
    assert f"0x{first:x}-0x{last:x} (1 GiB) is in the elfcorehdr but no longer in the machine" in after.sentence
    verdict = kdump.inspect(machine)["verdict"]["state"]
    assert verdict == "current"
    kdump.record(result, before, after, load="-s", verdict=f"stale, then {verdict}")


@pytest.mark.guests("debian13")
def test_skip(machine: Machine, result: Result) -> None:
    """An image that the kernel may not touch, and a CPU that is offlined and onlined: it is still right."""
    kdump.configure(machine, kdump.AS_LOADED)
    start = kdump.seen(machine)
    kdump.plug_cpu(machine)
    kdump.wait_handled(machine, start)
    kdump.load(machine, "-c")
    before = kdump.seen(machine)
    machine.run("echo 0 > /sys/devices/system/cpu/cpu1/online; echo 1 > /sys/devices/system/cpu/cpu1/online")
    after = kdump.wait_handled(machine, before, events=2)
    assert kdump.crash_hotplug(machine) == ("0", "0")
    assert after.reloads == before.reloads
    assert after.sentence.endswith(": the loaded kdump image is up to date")
    kdump.record(result, before, after, load="-c", verdict="current")


# Parts of a load's time. What is plugged too early is in the image, and too late in the kernel's next update: which
# moment is right depends on how busy the host is, so another is tried then.
MOMENTS = (0.4, 0.2, 0.6, 0.1, 0.5, 0.3, 0.8, 0.05)
LOAD = "eval \"$(sed 's/ -p / -p -s /' /var/crash/kexec_cmd)\""
UNLOADED = f'until [ "$({kdump.LOADED})" = 0 ]; do :; done'
MISSED = "dmesg | grep -c 'crash hp: kexec_trylock() failed'"


def load_time(machine: Machine) -> float:
    """Seconds in the guest from the moment at which the old image is gone to the end of an operator's load."""
    uptime = "read up idle </proc/uptime; echo $up"
    begun, ended = machine.run(f"{LOAD} & {UNLOADED}; {uptime}; wait; {uptime}").stdout.split()
    return float(ended) - float(begun)


def plug_during_a_load(machine: Machine, moment: float) -> bool:
    """Plug a block of memory `moment` seconds after an operator's load has begun to hold the kexec lock.

    Returns whether the kernel could not update the image.
    """
    # The image is out of sight from the beginning of the load; its elfcorehdr is made some time after that, and the
    # digest over it, which takes longest, comes last.
    missed = int(machine.run(MISSED, check=False).stdout)
    blocks = len(kdump.dimms(machine)) + 8 + 1
    loading = machine.start(LOAD)
    machine.run(f"{UNLOADED}; sleep {moment:.2f}")
    machine.add_memory(128)
    loading.wait(120)
    machine.wait_until(f"[ $(grep -lx online {kdump.BLOCKS}/state | wc -l) = {blocks} ]")
    return int(machine.run(MISSED, check=False).stdout) > missed


def miss_an_update(machine: Machine) -> tuple[kdump.Seen, kdump.Seen]:
    """Make an image that lacks the last DIMM, although the kernel says that it keeps it current; see it reloaded."""
    whole = load_time(machine)
    for moment in MOMENTS:
        before = kdump.seen(machine)
        if plug_during_a_load(machine, moment * whole):
            with contextlib.suppress(AssertionError):
                return before, kdump.wait_reloaded(machine, before)
        kdump.wait_handled(machine, before, events=2)
    raise AssertionError("in no load was there a moment at which the kernel misses an event")


def prepared(machine: Machine) -> None:
    """A second CPU, for the load would keep the only one to itself, and an image that the kernel may update."""
    start = kdump.seen(machine)
    kdump.plug_cpu(machine)
    kdump.wait_handled(machine, start)
    kdump.load(machine, "-s")


@pytest.mark.guests("debian13", "debian13-backports")
def test_failed_update(machine: Machine, result: Result) -> None:
    """The event falls into a load: the kernel misses it and still says that all is well. The verdict does not."""
    prepared(machine)
    before, after = miss_an_update(machine)
    assert kdump.crash_hotplug(machine) == ("1", "1")
    assert after.reloads == before.reloads + 1
    *_, (first, last) = kdump.dimms(machine)
    assert f"0x{first:x}-0x{last:x} (128 MiB) is missing from the elfcorehdr" in kdump.reloads(machine)[-1]["MESSAGE"]
    verdict = kdump.inspect(machine)["verdict"]["state"]
    assert verdict == "current"
    kdump.record(result, before, after, load="-s", verdict=f"stale, then {verdict}")


@pytest.mark.guests("debian13")
def test_lockdown(machine: Machine, result: Result) -> None:
    """Under lockdown kernel memory can't be read: what the kernel reports decides, and the journal says so."""
    kdump.load(machine, "-s")
    machine.run("rm -f /run/kdumphpd-helper/layout.json; echo confidentiality > /sys/kernel/security/lockdown")
    before = kdump.seen(machine)
    machine.add_memory(1024)
    after = kdump.wait_handled(machine, before, events=16)
    assert after.reloads == before.reloads
    assert "the kernel updated the kdump image (the loaded image cannot be read: " in after.sentence
    verdict = kdump.inspect(machine)["verdict"]
    assert (verdict["state"], verdict["reason"]) == ("unreadable", "lockdown")
    kdump.record(result, before, after, load="-s", verdict="unreadable")


@pytest.mark.guests("debian13")
def test_lockdown_kptr_restrict(machine: Machine, result: Result) -> None:
    """Addresses are hidden, and the kernel's update fails: its message is what gives it away."""
    prepared(machine)
    machine.run("rm -f /run/kdumphpd-helper/layout.json; sysctl -w kernel.kptr_restrict=2")
    before, after = miss_an_update(machine)
    assert after.reloads == before.reloads + 1
    assert "crash hp: kexec_trylock() failed" in kdump.reloads(machine)[-1]["MESSAGE"]
    verdict = kdump.inspect(machine)["verdict"]
    assert (verdict["state"], verdict["reason"]) == ("unreadable", "kptr_restrict")
    kdump.record(result, before, after, load="-s", verdict="unreadable")
