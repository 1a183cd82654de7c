# SPDX-License-Identifier: GPL-2.0-or-later
"""arm64: the kernel updates no image, kexec-tools sees System RAM alone, and before 6.4 nobody can read the image."""

import pytest

from tests.vm import kdump
from tests.vm.agent import CommandFailed
from tests.vm.qemu import Machine
from tests.vm.results import Result

# Ways to load; -a falls back. These kernels have neither kexec_file_load nor crash_hotplug, so others fail.
KNOWN = ("-c", "-a")
REFUSED = {"-s": 253, "-c --hotplug": 1, "-a --hotplug": 1}

ONLINE_MOVABLE = "echo online_movable > /sys/devices/system/memory/auto_online_blocks"
CPU1 = "/sys/devices/system/cpu/cpu1/online"

# An image of a machine that seems to have less memory than it has: its last System RAM.
LOAD_WITH_LESS = """
unshare --mount sh -e -c '
last=$(grep -n "^[0-9].*: System RAM$" /proc/iomem | tail -n 1 | cut -d : -f 1)
sed "${last}d" /proc/iomem > /run/iomem
mount --bind /run/iomem /proc/iomem
exec sh /run/load'
"""


@pytest.mark.long
@pytest.mark.guests("debian13-arm64")
def test_truth_table_arm64(machine: Machine, result: Result) -> None:
    """Flag, kimage and verdict agree, however the image was loaded."""
    kdump.configure(machine, kdump.AS_LOADED)
    for options in KNOWN:
        kdump.load(machine, options)
        seen = kdump.inspect(machine)
        kimage = seen["image"]["kimage"]
        assert (kimage["file_mode"], kimage["hotplug_bits"], seen["image"]["updatable"]) == (False, {}, False)
        assert seen["verdict"]["state"] == "current", options
        assert seen["image"]["fdt"]["cpus"] == []  # they are in ACPI's tables
        assert kdump.crash_hotplug(machine) == ("absent", "absent")
    for options, status in REFUSED.items():
        with pytest.raises(CommandFailed, match=f"exit code {status}"):
            kdump.load(machine, options)
    result.verdict = "flag, kimage and verdict agree; -s and --hotplug are refused"


@pytest.mark.guests("debian13-arm64")
def test_arm64_memory(machine: Machine, result: Result) -> None:
    """Memory of virtio-mem: one reload, which leaves it out; that is said, and not tried again until it goes."""
    kdump.configure(machine, kdump.AS_LOADED)
    machine.run(ONLINE_MOVABLE)
    before = kdump.seen(machine)
    device = machine.add_memory(512)
    once = kdump.wait_handled(machine, before, events=8)
    [(first, last)] = kdump.dimms(machine)
    lack = f"0x{first:x}-0x{last:x} (512 MiB) is missing from the elfcorehdr"
    assert lack in once.sentence
    assert once.last_burst["outcome"] == "stale"
    assert once.reloads == before.reloads + 1

    machine.run(f"echo 0 > {CPU1}")
    after = kdump.wait_handled(machine, once)
    assert lack in after.sentence
    assert after.reloads == once.reloads

    machine.remove_memory(device)
    last_of_all = kdump.wait_handled(machine, after, events=8)
    assert last_of_all.sentence.endswith(": the loaded kdump image is up to date")
    assert last_of_all.reloads == once.reloads
    kdump.record(result, before, last_of_all, load="-c", verdict="stale, then current once the memory has gone")


@pytest.mark.long
@pytest.mark.guests("debian13-arm64")
def test_arm64_reload(machine: Machine, result: Result) -> None:
    """An image that misses memory which kexec does see: one reload, and it is current. A CPU does not matter."""
    kdump.configure(machine, kdump.AS_LOADED)
    before = kdump.seen(machine)
    machine.run(f"echo 0 > {CPU1}")
    same = kdump.wait_handled(machine, before)
    assert same.reloads == before.reloads

    machine.write_file("/run/load", kdump.load_command("-c"))
    machine.run(LOAD_WITH_LESS, timeout=120)
    assert kdump.inspect(machine)["verdict"]["state"] == "stale"
    machine.run(f"echo 1 > {CPU1}")
    after = kdump.wait_reloaded(machine, same)
    assert after.reloads == before.reloads + 1
    assert "is missing from the elfcorehdr" in after.sentence
    verdict = kdump.inspect(machine)["verdict"]["state"]
    assert verdict == "current"
    kdump.record(result, before, after, load="-c", verdict=f"stale, then {verdict}")


@pytest.mark.guests("debian12-arm64")
def test_arm64_hidden(machine: Machine, result: Result) -> None:
    """This kernel unmaps what it has loaded, and does not tell where: the machine as of the last load decides."""
    kdump.configure(machine, kdump.AS_LOADED)
    verdict = kdump.inspect(machine)["verdict"]
    assert (verdict["state"], verdict["reason"]) == ("unreadable", "no_symbol")
    before = kdump.seen(machine)
    machine.add_memory(512)
    machine.wait_until(f"[ $(ls -d {kdump.BLOCKS} | wc -l) -ge 16 ]")
    kdump.online_memory(machine)
    reloaded = kdump.wait_reloaded(machine, before)
    *_, reload = kdump.reloads(machine)
    assert "512 MiB of memory was added since the image was loaded" in reload["MESSAGE"]
    assert reloaded.reloads == before.reloads + 1

    machine.run(f"echo 0 > {CPU1}")
    after = kdump.wait_handled(machine, reloaded)
    assert after.reloads == reloaded.reloads
    machine.run("systemctl restart kdumphpd")
    started = kdump.wait_checked(machine)
    assert (started.reloads, started.healthy) == (0, True)
    assert kdump.reloads_begun(machine) == 1
    kdump.record(result, before, after, load="-c", verdict="unreadable; reloaded by what has changed")
