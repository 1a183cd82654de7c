# SPDX-License-Identifier: GPL-2.0-or-later
"""s390x: the capture kernel describes the crashed machine by itself, and Debian's kernel has no kdump at all."""

import pytest

from tests.vm import kdump
from tests.vm.qemu import Machine
from tests.vm.results import Result

pytestmark = pytest.mark.guests("debian13-s390x")

CPU1 = "/sys/devices/system/cpu/cpu1/online"


def test_s390x_cpu(machine: Machine, result: Result) -> None:
    """A CPU is added and taken offline: nothing is reloaded, and the status says why."""
    before = kdump.seen(machine)
    machine.add_cpu()
    machine.wait_until(f"test -e {CPU1}")
    machine.run(f"echo 1 > {CPU1}")
    plugged = kdump.wait_handled(machine, before)
    machine.run(f"echo 0 > {CPU1}")
    after = kdump.wait_handled(machine, plugged)
    assert after.reloads == before.reloads == 0
    assert after.failures == 0
    assert "no kdump image is loaded" in after.sentence
    assert kdump.reloads_begun(machine) == 0
    status = machine.run("kdumphpctl status", check=False).stdout
    assert "not loaded" in status
    kdump.record(result, before, after, verdict="no image: this kernel has no kexec")
