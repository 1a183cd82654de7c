# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job on real kernels: leave to the kernel what it does, reload once where it does not."""

import pytest

from tests.vm import kdump
from tests.vm.qemu import Machine
from tests.vm.results import Result


@pytest.mark.guests("debian13", "debian13-backports")
def test_file_memory(machine: Machine, result: Result) -> None:
    """An image of kexec_file_load: the kernel keeps it current, and nothing is reloaded."""
    kdump.load(machine, "-s")
    before = kdump.seen(machine)
    machine.add_memory(2048)
    grown = kdump.wait_handled(machine, before, events=32)
    assert "2 GiB of memory onlined (16 blocks, 32 events" in grown.sentence
    assert grown.sentence.endswith(": the kernel updated the kdump image")

    kdump.plug_cpu(machine)
    after = kdump.wait_handled(machine, grown, events=2)
    assert after.sentence.startswith(("CPU 1 added", "CPU 1 onlined"))  # in one burst, or in two
    assert after.sentence.endswith(": the kernel updated the kdump image")

    assert after.reloads == before.reloads
    assert kdump.crash_hotplug(machine) == ("1", "1")
    [(first, last)] = kdump.dimms(machine)
    assert kdump.image_has(machine, first, last)
    verdict = kdump.inspect(machine)["verdict"]["state"]
    assert verdict == "current"
    kdump.record(result, before, after, load="-s", verdict=verdict)


@pytest.mark.guests("debian13")
def test_load_once(machine: Machine, result: Result) -> None:
    """An image that the kernel may not touch is reloaded once, and then the kernel may."""
    kdump.configure(machine, kdump.AS_LOADED)
    kdump.load(machine, "-c")
    before = kdump.seen(machine)
    assert kdump.crash_hotplug(machine) == ("0", "0")
    machine.add_memory(1024)
    once = kdump.wait_handled(machine, before, events=16)
    assert once.reloads == before.reloads + 1
    assert "because it did not describe the machine" in once.sentence
    assert once.sentence.endswith("; the kernel updates the new image by itself")
    assert kdump.crash_hotplug(machine) == ("1", "1")

    machine.add_memory(1024)
    after = kdump.wait_handled(machine, once, events=16)
    assert after.reloads == once.reloads
    for first, last in kdump.dimms(machine):
        assert kdump.image_has(machine, first, last)
    kdump.record(result, before, after, load="-c", verdict=kdump.inspect(machine)["verdict"]["state"])
    result.stale_ms = round(once.last_burst["stale"] * 1000, 1)


@pytest.mark.guests("debian13")
def test_loader_kexec(machine: Machine, result: Result) -> None:
    """kexec with what the configuration names, at an operator's word; a second word finds nothing to do."""
    machine.write_file(
        "/etc/kdumphpd.toml",
        """
        [reload]
        loader = "kexec"
        kexec.kernel = "/var/lib/kdump/vmlinuz"
        kexec.initrd = "/var/lib/kdump/initrd.img"
        kexec.command_line = "root=/dev/vda console=ttyS0 systemd.unit=kdump-tools-dump.service nr_cpus=1"
        """,
    )
    kdump.load(machine, "-c")
    machine.run("systemctl stop kdumphpd")
    machine.add_memory(1024)
    machine.wait_until("[ $(grep -lx online /sys/devices/system/memory/memory*/state | wc -l) = 16 ]")
    first = machine.run("kdumphpctl rearm 2>&1", timeout=120).stdout
    assert "loading the image with kexec" in first
    assert "reloaded the kdump image in" in first
    assert "(1 GiB) is missing from the elfcorehdr" in first
    assert "the kernel updates the new image by itself" in first
    assert "is up to date" in machine.run("kdumphpctl rearm", timeout=120).stdout
    assert kdump.inspect(machine)["verdict"]["state"] == "current"
    result.load, result.reloads, result.verdict = "-c", 1, "current"


@pytest.mark.guests("debian12")
def test_unsupported(machine: Machine, result: Result) -> None:
    """A kernel that never updates an image: one reload for a burst of 32 blocks."""
    # An emulated machine takes as long for these as a real one for thousands of blocks.
    machine.write_file("/etc/kdumphpd.toml.d/patient.toml", "[events]\nmax_delay = 120\n")
    machine.run("systemctl reload kdumphpd")
    start = kdump.seen(machine)
    assert kdump.crash_hotplug(machine) == ("absent", "absent")
    machine.add_memory(4096)
    before = kdump.wait_handled(machine, start, events=32)
    assert "memory blocks 32-63 added, not online yet" in before.sentence
    assert before.reloads == start.reloads
    kdump.online_memory(machine)
    after = kdump.wait_handled(machine, before, events=32)
    kdump.record(result, before, after, load="kdump-tools", verdict=kdump.inspect(machine)["verdict"]["state"])
    assert after.reloads == before.reloads + 1
    assert "because it did not describe the machine" in after.sentence
    [(first, last)] = kdump.dimms(machine)
    assert kdump.image_has(machine, first, last)


@pytest.mark.guests("debian12", "debian13")
def test_cpu(machine: Machine, result: Result) -> None:
    """A CPU is added and removed; whoever updates it, the image describes the machine each time."""
    before = kdump.seen(machine)
    cpu = kdump.plug_cpu(machine)
    added = kdump.wait_handled(machine, before)
    assert "CPU 1 added" in added.sentence
    assert kdump.inspect(machine)["verdict"]["state"] == "current"

    machine.remove_cpu(cpu)
    machine.wait_until("! test -e /sys/devices/system/cpu/cpu1")
    removed = kdump.wait_handled(machine, added)
    assert "CPU 1 removed" in removed.sentence
    assert kdump.inspect(machine)["verdict"]["state"] == "current"
    kdump.record(result, before, removed, load="kdump-tools", verdict="current")


@pytest.mark.guests("debian13")
def test_nothing_loaded(machine: Machine, result: Result) -> None:
    """What somebody unloaded stays unloaded, and status says that the distribution's unit would have it loaded."""
    machine.run("kdump-config unload")
    before = kdump.seen(machine)
    machine.add_memory(1024)
    after = kdump.wait_handled(machine, before, events=16)
    assert not kdump.loaded(machine)
    assert after.reloads == before.reloads
    status = machine.run("kdumphpctl status", check=False)
    assert status.returncode == 1
    assert "no image is loaded although kdump-tools.service is active" in status.stdout
    kdump.record(result, before, after, load="none", verdict="no_image")


@pytest.mark.guests("debian12")
def test_coldplug(machine: Machine, result: Result) -> None:
    """Synthetic events look like hotplug, and nothing has changed."""
    before = kdump.seen(machine)
    machine.run("udevadm trigger --action=add --subsystem-match=cpu --subsystem-match=memory --settle")
    # A real event afterwards, so that what came before it has been counted.
    machine.add_cpu()
    after = kdump.wait_handled(machine, before)
    assert after.synthetic >= before.synthetic + 9  # a CPU and eight blocks at least
    assert (after.bursts, after.last_burst["events"]) == (before.bursts + 1, 1)
    kdump.record(result, before, after, load="kdump-tools", verdict="current")
    assert after.reloads == before.reloads


@pytest.mark.guests("debian12")
def test_during_reload(machine: Machine, result: Result) -> None:
    """Memory that arrives while a reload runs gets a look of its own."""
    machine.add_memory(1024)
    machine.add_memory(1024)
    machine.wait_until("[ $(grep -l offline /sys/devices/system/memory/memory*/state | wc -l) = 16 ]")
    before = kdump.seen(machine)
    half = "for s in $(grep -l offline /sys/devices/system/memory/memory*/state | head -8); do echo online > $s; done"
    machine.run(half)
    machine.wait_until("systemctl is-active -q 'kdumphpd-helper@*'")
    machine.wait_until("pgrep -x kexec")
    machine.run(half)
    after = kdump.wait_handled(machine, before, events=16)
    kdump.record(result, before, after, load="kdump-tools", verdict=kdump.inspect(machine)["verdict"]["state"])
    assert after.bursts >= before.bursts + 2
    for first, last in kdump.dimms(machine):
        assert kdump.image_has(machine, first, last)


def test_overflow(machine: Machine, result: Result) -> None:
    """More events than the socket holds, a real change among them: one full look finds it."""
    # Kernels differ in how much a socket may hold; too little is wanted here, and none of systemd's.
    machine.run("sysctl -w net.core.rmem_max=212992; systemctl mask --runtime kdumphpd.socket")
    machine.run("systemctl stop kdumphpd kdumphpd.socket; systemctl start kdumphpd")
    before = kdump.wait_checked(machine)
    kdump.configure(machine, kdump.AS_LOADED)
    kdump.load(machine, "-c")
    pid = machine.run("systemctl show -P MainPID kdumphpd").stdout.strip()
    machine.run(f"kill -STOP {pid}")
    machine.run("i=0; while [ $i -lt 3000 ]; do echo add; i=$((i+1)); done > /tmp/flood")
    flood = "while read -r a; do echo $a > /sys/devices/system/cpu/cpu0/uevent; done < /tmp/flood"
    machine.run(flood, timeout=120)
    machine.add_memory(1024)
    machine.wait_until("[ $(ls -d /sys/devices/system/memory/memory* | wc -l) = 16 ]")
    kdump.online_memory(machine)
    machine.run(f"kill -CONT {pid}")
    after = kdump.wait_handled(machine, before, events=0)
    kdump.record(result, before, after, load="-c", verdict=kdump.inspect(machine)["verdict"]["state"])
    assert after.overflows == before.overflows + 1
    assert after.events == before.events
    assert "uevents were lost (more arrived at once" in after.sentence
    assert after.reloads == before.reloads + 1
    [(first, last)] = kdump.dimms(machine)
    assert kdump.image_has(machine, first, last)
    assert machine.run("systemctl show -P NRestarts kdumphpd").stdout.strip() == "0"
