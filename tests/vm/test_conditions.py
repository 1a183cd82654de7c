# SPDX-License-Identifier: GPL-2.0-or-later
"""Where there is nothing to keep armed, nothing of ours is started."""

import pytest

from tests.vm import journal, kdump
from tests.vm.qemu import Machine
from tests.vm.results import Result

UNITS = ("kdumphpd.service", "kdumphpd-helper.socket")

# The capture kernel with the whole system on it, as where a dump is looked at before it is saved. kdump-tools would
# save it at once, and reboot.
WHOLE_SYSTEM = """sed -i 's/ systemd.unit=[^ "]*//' /var/crash/kexec_cmd; systemctl mask kdump-tools; sync"""

# Only what starts a program in a mount namespace of its own sees these; systemd's own judgement of a unit does.
NO_KEXEC = "mount -t tmpfs none /sys/kernel"
CONTAINER = "mount -t tmpfs none /run/systemd && echo lxc > /run/systemd/container"


def refused(machine: Machine, unit: str, world: str) -> str:
    """Which conditions of `unit` systemd finds unmet after `world`, seen by it alone."""
    judge = f"systemd-analyze condition --unit={unit}"
    assert machine.run(judge, check=False).returncode == 0
    done = machine.run(f"unshare --mount sh -c '{world} && ! {judge}'")
    return "\n".join(line for line in (done.stdout + done.stderr).splitlines() if "failed" in line)


@pytest.mark.guests("debian12", "debian13")
def test_not_without_kexec_nor_in_a_container(machine: Machine, result: Result) -> None:
    """By systemd's own reading of the units as they are installed."""
    unmet = refused(machine, "kdumphpd.service", NO_KEXEC)
    assert "ConditionPathExists=|/sys/kernel/kexec/crash_loaded" in unmet
    assert "ConditionPathExists=|/sys/kernel/kexec_crash_loaded" in unmet
    for unit in UNITS:
        assert "ConditionVirtualization=!container" in refused(machine, unit, CONTAINER)
    result.verdict = "not started"


@pytest.mark.guests("debian12", "debian13")
def test_not_in_the_capture_kernel(machine: Machine, result: Result) -> None:
    """The machine panics, and the whole system comes up on the capture kernel."""
    machine.run(WHOLE_SYSTEM)
    kdump.load(machine)
    machine.crash_into_system()
    machine.run("systemctl is-system-running --wait", timeout=300, check=False)
    for unit in UNITS:
        assert machine.run(f"systemctl is-active {unit}", check=False).stdout == "inactive\n"
        said = journal.read(machine, f"_PID=1 -u {unit}")
        assert any("ConditionPathExists=!/proc/vmcore" in line for line in said), said
    assert machine.run("pgrep -u _kdumphpd", check=False).stdout == ""
    result.verdict = "not started"
