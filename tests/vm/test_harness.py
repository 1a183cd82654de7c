# SPDX-License-Identifier: GPL-2.0-or-later
"""The harness itself: what scenarios rely on. Not on the guest with SELinux, which is debian13 otherwise."""

import pytest

from tests.vm.agent import CommandFailed, CommandTimeout
from tests.vm.guests import GUESTS, POWERPC, X86, Guest
from tests.vm.qemu import Machine
from tests.vm.snapshot import Snapshot

LATE = [name for name, guest in GUESTS.items() if guest.arch not in (X86, POWERPC)]  # they have few scenarios

pytestmark = pytest.mark.guests(*(name for name, guest in GUESTS.items() if not guest.selinux), long=LATE)

BLOCKS = "ls -d /sys/devices/system/memory/memory*"


def blocks(machine: Machine) -> set[str]:
    return set(machine.run(BLOCKS).stdout.split())


def test_a_restored_guest_has_kdump_armed(bare: Machine) -> None:
    assert bare.run("kdump-config status").stdout.split(":")[1].strip() == "ready to kdump"
    assert "--initrd=/var/lib/kdump/initrd.img" in bare.read_file("/var/crash/kexec_cmd")


def test_nothing_in_a_restored_guest_has_failed(bare: Machine) -> None:
    assert bare.run("systemctl --failed --no-legend").stdout == ""


def test_a_command_gives_back_output_error_and_exit_code(bare: Machine) -> None:
    done = bare.run("echo out; echo err >&2; exit 3", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)
    with pytest.raises(CommandFailed, match="exit code 3"):
        bare.run("exit 3")


def test_commands_run_side_by_side(bare: Machine) -> None:
    job = bare.start("sleep 1000")
    assert bare.run("echo meanwhile").stdout == "meanwhile\n"
    with pytest.raises(CommandTimeout):
        job.wait(0.1)
    job.stop()
    assert job.wait(check=False).returncode == -15


def test_files_go_in_and_out(bare: Machine) -> None:
    content = "a line, ünd more\n" * 10_000
    bare.write_file("/run/new/file", content, mode=0o600)
    assert bare.read_file("/run/new/file") == content


def test_a_dimm_comes_as_memory_blocks_and_goes(bare: Machine, guest: Guest) -> None:
    before = blocks(bare)
    bare.run("echo online_movable > /sys/devices/system/memory/auto_online_blocks")
    dimm = bare.add_memory(8 * guest.arch.dimm_mib)
    bare.wait_until(f"[ $({BLOCKS} | wc -l) = {len(before) + 8} ]")
    states = " ".join(f"{block}/state" for block in blocks(bare) - before)
    bare.wait_until(f"[ $(cat {states} | grep -c online) = 8 ]")
    bare.remove_memory(dimm)
    bare.wait_until(f"[ $({BLOCKS} | wc -l) = {len(before)} ]")


def test_a_cpu_comes_and_goes(bare: Machine) -> None:
    cpu = bare.add_cpu()
    # PowerPC brings it online by itself, and keeps the directory of every possible CPU.
    bare.wait_until("[ $(nproc) = 2 ] || echo 1 > /sys/devices/system/cpu/cpu1/online")
    assert bare.run("nproc").stdout == "2\n"
    bare.remove_cpu(cpu)
    bare.wait_until("[ $(nproc) = 1 ]")


def test_the_next_machine_knows_nothing_of_the_one_before(
    booted: Snapshot, bare: Machine, tmp_path_factory: pytest.TempPathFactory, guest: Guest
) -> None:
    bare.run("touch /root/trace; sync")
    bare.add_memory(guest.arch.dimm_mib)
    with booted.restored(tmp_path_factory.mktemp("next")) as machine:
        assert machine.run("test -e /root/trace", check=False).returncode == 1
        assert len(blocks(machine)) == 8
