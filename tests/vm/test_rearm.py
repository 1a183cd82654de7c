# SPDX-License-Identifier: GPL-2.0-or-later
"""An operator's own reload: interrupted at the keyboard, and found in history and metrics all the same."""

import json

import pytest

from tests.vm import kdump
from tests.vm.qemu import Machine
from tests.vm.results import Result

METRICS = "/run/kdumphpd/kdumphpd.prom"
RECORD = "/run/kdumphpd-helper/record.json"

# The listener leaves a burst to the operator for a while, and a load takes some seconds.
CONFIG = """
[events]
settle_time = 60
max_delay = 120
[reload]
loader = "command"
command = ["/root/load"]
max_unprotected = 1
make_updatable = false
"""

# $1: when Ctrl-C is pressed. A shell's background job ignores it, unless it is told otherwise.
INTERRUPTED = """
env --default-signal=INT kdumphpctl rearm --now > /root/said 2>&1 & p=$!
until {when}; do sleep 0.05; done
kill -INT $p; wait $p; echo $?
"""


def interrupted(machine: Machine, when: str) -> tuple[int, str]:
    """Rearm, and press Ctrl-C: the exit status, and what was said."""
    machine.run("rm -f /root/said")
    status = int(machine.run(INTERRUPTED.format(when=when), timeout=180).stdout)
    return status, machine.read_file("/root/said")


@pytest.mark.long
@pytest.mark.guests("debian13")
def test_rearm_interrupted(machine: Machine, result: Result) -> None:
    machine.write_file("/root/load", f"#!/bin/sh\nsleep 3\n{kdump.load_command('-c')}\n", 0o755)
    kdump.configure(machine, CONFIG)
    kdump.load(machine, "-c")
    kdump.wait_settled(machine)
    before = kdump.seen(machine)

    # Before the load: nothing has been touched, and the helper goes on.
    kdump.grow(machine)
    status, said = interrupted(machine, "grep -q reading /root/said")
    assert status == 4
    assert "not waiting any longer: an image is loaded, as before; the helper goes on by itself" in said
    machine.wait_until("kdumphpctl verify")

    # Within it: that is waited for.
    kdump.grow(machine)
    status, said = interrupted(machine, f"grep -q '\"pending\":{{' {RECORD}")
    assert status == 0
    assert "a load is under way; waiting for its end, so that an image is loaded" in said
    assert "reloaded the kdump image" in said
    assert kdump.loaded(machine)
    machine.run("kdumphpctl verify")

    # The listener had no part in them, and counts them.
    now = kdump.wait_handled(machine, before)
    assert now.reloads == before.reloads + 2
    assert now.last_burst["outcome"] == "current"
    machine.wait_until(f"grep -qx 'kdumphpd_reloads_total{{result=\"reloaded\"}} {now.reloads}' {METRICS}")
    machine.run("journalctl --sync")
    entries = json.loads(machine.run("kdumphpctl history --json=short --boot").stdout)["entries"]
    ours = [entry for entry in entries if "by kdumphpctl rearm" in entry["sentence"]]
    assert ours
    assert sum(entry["unprotected"] for entry in ours) == pytest.approx(
        now.unprotected - before.unprotected, abs=0.01
    )
    kdump.record(result, before, now, load="command", verdict="current, as the operator asked for")
