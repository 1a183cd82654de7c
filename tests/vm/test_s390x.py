# SPDX-License-Identifier: GPL-2.0-or-later
"""s390x: Debian's kernel has no kexec, so there is nothing to keep armed."""

import pytest

from tests.vm import journal
from tests.vm.qemu import Machine
from tests.vm.results import Result

pytestmark = pytest.mark.guests("debian13-s390x")

CPU1 = "/sys/devices/system/cpu/cpu1/online"


def test_s390x_cpu(machine: Machine, result: Result) -> None:
    """A CPU is added and taken offline: nothing of ours runs, and it is said that no image is loaded."""
    machine.add_cpu()
    machine.wait_until(f"test -e {CPU1}")
    machine.run(f"echo 1 > {CPU1}; echo 0 > {CPU1}; udevadm settle")
    for unit in ("kdumphpd.service", "kdumphpd.socket"):
        assert machine.run(f"systemctl is-active {unit}", check=False).stdout == "inactive\n"
        # Once, as it was installed: no uevent starts it again.
        said = journal.read(machine, f"_PID=1 -u {unit}")
        assert [line for line in said if "no trigger condition checks were met" in line][1:] == [], said
    verified = machine.run("kdumphpctl verify", check=False)
    assert (verified.returncode, verified.stdout) == (3, "no image: no kdump image is loaded\n")
    assert machine.run("systemctl list-units --all --no-legend 'kdumphpd-helper@*'").stdout == ""
    result.verdict = "not started: this kernel has no kexec"
