# SPDX-License-Identifier: GPL-2.0-or-later
"""An operator at work on the image at the same moment as we: it is the operator's word that counts."""

import pytest

from tests.vm import kdump
from tests.vm.qemu import Machine
from tests.vm.results import Result

# One block after the other, slowly enough for something to happen in between.
ONLINE_SLOWLY = f"for s in $(grep -Lx online {kdump.BLOCKS}/state); do echo online_movable > $s; sleep 0.2; done"

UNIT = "kdump-tools.service"


def wait_burst_half(machine: Machine) -> None:
    machine.wait_until(f"[ $(grep -Lx online {kdump.BLOCKS}/state | wc -l) -le 8 ]")


@pytest.mark.guests("debian12")
def test_operator_unload(machine: Machine, result: Result) -> None:
    """Unloaded amid a burst: left alone, and nothing is loaded by us."""
    kdump.plug_offline(machine, 16)
    before = kdump.seen(machine)
    burst = machine.start(ONLINE_SLOWLY)
    wait_burst_half(machine)
    machine.run("kdump-config unload")
    burst.wait()
    after = kdump.wait_handled(machine, before, events=16)
    assert after.reloads == before.reloads
    assert "UNPROTECTED: no kdump image is loaded: kdump-tools.service is active" in after.sentence
    # Nor at our next start, nor at an operator's word to rearm.
    machine.run("systemctl restart kdumphpd")
    kdump.wait_checked(machine)
    assert machine.run("kdumphpctl rearm", check=False).returncode == 1
    assert not kdump.loaded(machine)
    machine.wait_until("grep -qx 'kdumphpd_protected 0' /run/kdumphpd/kdumphpd.prom")
    assert "kdumphpd_stopped 0" in machine.read_file("/run/kdumphpd/kdumphpd.prom").splitlines()
    # Stopped as it should be, it is nobody's failure.
    machine.run(f"systemctl stop {UNIT}")
    machine.wait_until("grep -qx not-loaded /run/kdumphpd/condition")
    assert machine.run("kdumphpctl rearm", check=False).returncode == 3
    kdump.record(result, before, after, load="kdump-tools", verdict="left alone")


# When the operator restarts the unit.
MOMENTS = {
    "before the burst": "true",
    "in the burst": f"[ $(grep -Lx online {kdump.BLOCKS}/state | wc -l) -le 4 ]",
    "as our reload begins": "systemctl is-active -q 'kdumphpd-helper@*'",
    "as ours loads": "pgrep -x kexec",
}


@pytest.mark.guests("debian12")
def test_operator_reload(machine: Machine, result: Result) -> None:
    """The unit is restarted while we reload: both succeed, and what is loaded is what the operator asked for."""
    machine.write_file(
        "/etc/kdumphpd.toml.d/scenario.toml", "[events]\nmax_delay = 60\n[reload]\nmax_unprotected = 1\n"
    )
    machine.run("systemctl reload kdumphpd")
    start = kdump.seen(machine)
    for number, (moment, condition) in enumerate(MOMENTS.items()):
        kdump.plug_offline(machine, 8)
        before = kdump.seen(machine)
        machine.run(f"echo 'KDUMP_CMDLINE_APPEND=wish={number}' >> /etc/default/kdump-tools")
        restart = machine.start(f"until {condition}; do sleep 0.02; done; systemctl restart {UNIT}")
        burst = machine.start(ONLINE_SLOWLY)
        burst.wait()
        restart.wait(180)
        after = kdump.wait_current(machine, before, events=8)
        assert machine.run(f"systemctl is-active {UNIT}").stdout.strip() == "active", moment
        assert kdump.loaded(machine), moment
        assert kdump.inspect(machine)["verdict"]["state"] == "current", moment
        assert f" wish={number} " in kdump.inspect(machine)["image"]["command_line"] + " ", moment
        assert after.healthy
    kdump.record(result, start, after, load="kdump-tools", verdict="current, as the operator asked for")


@pytest.mark.guests("debian12")
def test_operator_stop(machine: Machine, result: Result) -> None:
    """The unit is stopped while ours loads: no image is left, and none is loaded afterwards."""
    kdump.plug_offline(machine, 8)
    before = kdump.seen(machine)
    stop = machine.start(f"until {MOMENTS['as ours loads']}; do sleep 0.02; done; systemctl stop {UNIT}")
    machine.start(ONLINE_SLOWLY).wait()
    stop.wait(180)
    after = kdump.wait_handled(machine, before, events=8)
    assert not kdump.loaded(machine), after.sentence
    assert machine.run("kdumphpctl rearm", check=False).returncode == 3
    assert not kdump.loaded(machine)
    kdump.record(result, before, after, load="kdump-tools", verdict="left alone")
