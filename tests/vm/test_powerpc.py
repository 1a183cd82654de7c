# SPDX-License-Identifier: GPL-2.0-or-later
"""PowerPC: an FDT tells the capture kernel of its CPUs, and kexec-tools looks no further than the RAM at boot."""

import pytest

from tests.vm import journal, kdump
from tests.vm.agent import CommandFailed
from tests.vm.channel import VmLost
from tests.vm.qemu import Machine
from tests.vm.results import Result

pytestmark = pytest.mark.guests("debian13-ppc64el")

# A way to load → what crash_hotplug says, and whether the kernel updates the image. This kernel has no
# kexec_file_load: -a silently falls back, and what the kernel may do then hangs on --hotplug alone.
KNOWN = {
    ("-c",): (("0", "0"), False),
    ("-c", "--hotplug"): (("1", "1"), True),
    ("-a",): (("0", "0"), False),
    ("-a", "--hotplug"): (("1", "1"), True),
}

GIB = 1 << 30
DIMMS = 11  # ranges; 17 program headers are reserved, of which an image of this machine needs some nine

DIES_S = 30.0  # a capture kernel is past its first steps long before

# Base and size of the reservation.
RESERVATION = "cd /proc/device-tree/chosen; cat linux,crashkernel-{base,size} | od -An -tu8 --endian=big"


def test_truth_table_powerpc(machine: Machine, result: Result) -> None:
    """Flag, kimage and verdict agree, however the image was loaded."""
    found = {}
    kdump.configure(machine, kdump.AS_LOADED)
    for options in KNOWN:
        kdump.load(machine, *options)
        seen = kdump.inspect(machine)
        kimage = seen["image"]["kimage"]
        assert not kimage["file_mode"]
        assert seen["verdict"]["state"] == "current", options
        found[options] = (kdump.crash_hotplug(machine), kimage["updatable"])
    assert found == KNOWN
    with pytest.raises(CommandFailed, match="exit code 253"):
        kdump.load(machine, "-s")
    result.verdict = "flag, kimage and verdict agree; -s is refused"


def test_ppc_cpu_baseline(bare: Machine, result: Result) -> None:
    """Without kdumphpd: a crash on a CPU that came after the load, and the capture kernel does not know it."""
    kdump.load(bare, "-c")
    bare.add_cpu()
    bare.wait_until("[ $(nproc) = 2 ]")
    bare.run("udevadm settle --timeout=120", timeout=150)
    base, size = map(int, bare.run(f"bash -c '{RESERVATION}'").stdout.split())
    with pytest.raises(VmLost, match="no reboot"):
        bare.crash(DIES_S, cpu=1)
    # It dies before it has a console, "Failed to identify boot CPU", so its log is looked for where it lies.
    assert b"kernel BUG at arch/powerpc/kernel/prom.c" in bare.memory(base, size)
    result.load = "-c"
    result.verdict = "the capture kernel dies on its first steps: it does not know the CPU that it runs on"


def test_ppc_cpu(machine: Machine, result: Result) -> None:
    """The CPU is in the FDT in memory after one reload, and a crash on it is dumped."""
    kdump.configure(machine, kdump.AS_LOADED)
    kdump.load(machine, "-c")
    before = kdump.seen(machine)
    machine.add_cpu()
    after = kdump.wait_handled(machine, before)
    assert after.last_burst["events"] == 1
    assert after.sentence.startswith("CPU 1 onlined: reloaded the kdump image in ")
    assert "(CPU 1 not in the FDT)" in after.sentence
    assert after.reloads == before.reloads + 1
    seen = kdump.inspect(machine)
    assert seen["verdict"]["state"] == "current"
    assert [cpu["name"] for cpu in seen["image"]["fdt"]["cpus"]] == ["PowerPC,POWER9@0", "PowerPC,POWER9@1"]
    kdump.record(result, before, after, load="-c", verdict="stale, then current; the crash was dumped")
    console = machine.crash(cpu=1)
    assert "saved vmcore in /var/crash/" in console


def test_ppc_memory(machine: Machine, result: Result) -> None:
    """An image that the kernel may update: it does, and the verdict agrees."""
    kdump.load(machine, "-c", "--hotplug")
    before = kdump.seen(machine)
    machine.add_memory(512)
    after = kdump.wait_handled(machine, before, events=4)
    assert after.sentence.endswith(": the kernel updated the kdump image")
    assert after.reloads == before.reloads
    [(first, last)] = kdump.dimms(machine)
    assert kdump.image_has(machine, first, last)
    verdict = kdump.inspect(machine)["verdict"]["state"]
    assert verdict == "current"
    kdump.record(result, before, after, load="-c --hotplug", verdict=verdict)


def test_ppc_memory_limit(machine: Machine, result: Result) -> None:
    """One that it may not: the reload leaves the memory out (linux,memory-limit). It is said, and not tried again."""
    kdump.configure(machine, kdump.AS_LOADED)
    kdump.load(machine, "-c")
    before = kdump.seen(machine)
    machine.add_memory(512)
    once = kdump.wait_handled(machine, before, events=4)
    [(first, last)] = kdump.dimms(machine)
    lack = f"0x{first:x}-0x{last:x} (512 MiB) is missing from the elfcorehdr"
    assert lack in once.sentence
    assert once.last_burst["outcome"] == "stale"
    assert once.reloads == before.reloads + 1

    machine.add_cpu()
    after = kdump.wait_handled(machine, once)
    assert lack in after.sentence
    assert after.reloads == once.reloads
    verdict = kdump.inspect(machine)["verdict"]
    assert (verdict["state"], verdict["missing"]) == ("stale", [[first, last]])
    kdump.record(result, before, after, load="-c", verdict="stale")


def ranges(machine: Machine, count: int) -> None:
    """Plug `count` DIMMs that do not touch, each a range of its own in the elfcorehdr, and use them."""
    blocks = f"ls -d {kdump.BLOCKS} | wc -l"
    for n in range(count):
        before = int(machine.run(blocks).stdout)
        machine.add_memory(256, GIB * 2 + n * (512 << 20) + (256 << 20))
        machine.wait_until(f"[ $({blocks}) = {before + 1} ]")
    kdump.online_memory(machine)


@pytest.mark.long
def test_ppc_memreserve(machine: Machine, result: Result) -> None:
    """kexec reserves less of the elfcorehdr than the kernel may fill: what has outgrown it is reloaded."""
    kdump.configure(machine, kdump.AS_LOADED)
    kdump.load(machine, "-c", "--hotplug")
    image = kdump.inspect(machine)["image"]
    if image["updatable"]:
        pytest.skip("this kexec reserves the whole segment")
    assert image["kimage"]["updatable"]
    before = kdump.seen(machine)
    ranges(machine, DIMMS)
    after = kdump.wait_reloaded(machine, before)
    assert "bytes of the elfcorehdr not reserved in the FDT" in reasons(machine)
    verdict = kdump.inspect(machine)["verdict"]
    assert verdict["unreserved"] == 0
    kdump.record(result, before, after, load="-c --hotplug", verdict="stale: not reserved; then reserved")


def reasons(machine: Machine) -> str:
    """What the helper said of its reloads."""
    return "\n".join(journal.read(machine, journal.HELPER))


@pytest.mark.long
def test_ppc_backup(machine: Machine, result: Result) -> None:
    """The kernel updates the elfcorehdr, which still points to the backup of the first 64 KiB."""
    kdump.configure(machine, kdump.AS_LOADED)
    kdump.load(machine, "-c", "--hotplug")
    loaded = kdump.inspect(machine)["image"]["elfcorehdr"]["backup"]
    base, size = map(int, machine.run(f"bash -c '{RESERVATION}'").stdout.split())
    assert base <= loaded < base + size
    before = kdump.seen(machine)
    kdump.grow(machine)
    after = kdump.wait_handled(machine, before, events=2)
    seen = kdump.inspect(machine)
    lost = seen["image"]["elfcorehdr"]["backup"] != loaded
    assert seen["verdict"]["backup_lost"] is lost
    assert (after.reloads > before.reloads) is lost
    kdump.record(result, before, after, load="-c --hotplug", verdict="backup lost" if lost else "current")
