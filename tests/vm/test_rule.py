# SPDX-License-Identifier: GPL-2.0-or-later
"""The distribution's udev rule: what it does without us, and that it stands aside only while we run."""

import pytest

from tests.vm import journal, kdump
from tests.vm.qemu import Machine
from tests.vm.results import Result

OURS = f"/usr/lib/kdumphpd/udev/{kdump.STOCK_RULE}"
STOCK = f"/usr/lib/udev/rules.d/{kdump.STOCK_RULE}"


def in_force(machine: Machine) -> str:
    return kdump.rule_in_force(machine, kdump.STOCK_RULE)


def refused(machine: Machine) -> int:
    """How often the rule has tried to reload in vain."""
    return journal.count(machine, "-t kdump-config", "failed to unload kdump kernel")


@pytest.mark.guests("debian13")
def test_rule(machine: Machine, result: Result) -> None:
    """Masked while we run; back after a stop, and after a kill -9 whether or not we are started again."""
    assert in_force(machine) == OURS
    machine.run("systemctl stop kdumphpd")
    assert in_force(machine) == STOCK

    machine.run("systemctl start kdumphpd")
    assert in_force(machine) == OURS
    machine.run("systemctl kill -s KILL --kill-whom=main kdumphpd")
    machine.wait_until("[ $(systemctl show -P NRestarts kdumphpd) = 1 ] && systemctl is-active -q kdumphpd")
    assert in_force(machine) == OURS
    assert journal.count(machine, "_PID=1 -u kdumphpd", "Main process exited, code=killed, status=9/KILL")

    kdump.kill_for_good(machine)
    assert in_force(machine) == STOCK
    result.verdict = "masked only while running"


@pytest.mark.guests("debian12", "debian13")
def test_baseline(bare: Machine, result: Result) -> None:
    """Without kdumphpd: Debian's rule fires for every block, and udevd's sandbox lets none of them load."""
    before = refused(bare)  # the guest's own boot has CPU events too
    bare.add_memory(1024)
    bare.wait_until("[ $(ls -d /sys/devices/system/memory/memory* | wc -l) = 16 ]")
    kdump.online_memory(bare)
    bare.run("udevadm settle --timeout=120", timeout=150)
    failed = refused(bare) - before
    result.load = "Debian's udev rule"
    result.events = 16
    result.verdict = f"{failed} reloads, all of them refused by udevd's sandbox"
    assert failed == 8
    assert kdump.loaded(bare)
