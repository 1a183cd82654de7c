# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operator finds the morning after: history, plot, watch and metrics agree with what was done."""

import json
import re
from xml.etree import ElementTree

import pytest

from tests.vm import journal, kdump
from tests.vm.payload import BUILD
from tests.vm.qemu import Machine
from tests.vm.results import Result

METRICS = "/run/kdumphpd/kdumphpd.prom"
WATCH = "setpriv --reuid=nobody --regid=nogroup --clear-groups kdumphpctl watch"
ALL = "kdumphpctl history --json=short --boot"

# Somebody else's entry, with our MESSAGE_ID and our identifier; root's, for whom journald makes no difference.
FORGED = """printf '%s\\n' MESSAGE_ID=f037f8dea07e42d1bb5801503198c76e SYSLOG_IDENTIFIER=kdumphpd \
    KDUMPHPD_OUTCOME=reloaded KDUMPHPD_UNPROTECTED=86400 MESSAGE=forged | logger --journald"""


def metrics(machine: Machine) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in machine.read_file(METRICS).splitlines() if line[:1] != "#"]
    return {name: float(value) for name, _, value in lines}


def keep(name: str, text: str) -> None:
    """Leave it for whoever wants to look at it."""
    folder = BUILD / "observers"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


@pytest.mark.long
@pytest.mark.guests("debian13")
def test_observers(machine: Machine, result: Result) -> None:
    kdump.configure(machine, kdump.AS_LOADED)
    kdump.load(machine, "-c")
    watching = machine.start(f"exec {WATCH} > /run/watched")
    machine.wait_until("test -s /run/watched")
    before = kdump.seen(machine)

    # One burst costs a reload, the next ones are the kernel's work.
    machine.add_memory(1024)
    now = kdump.wait_reloaded(machine, before)
    for _ in range(2):
        machine.add_memory(1024)
        now = kdump.wait_handled(machine, now, events=16)
    kdump.plug_cpu(machine)
    now = kdump.wait_handled(machine, now, events=2)
    machine.run(FORGED)

    # Metrics, as they are written for node_exporter.
    machine.wait_until(f"grep -qx 'kdumphpd_bursts_total {now.bursts}' {METRICS}")
    found = metrics(machine)
    assert machine.run(f"stat -c '%a %U' {METRICS}").stdout == "644 _kdumphpd\n"  # Debian's name for it
    assert (found["kdumphpd_protected"], found["kdumphpd_stale"], found["kdumphpd_stopped"]) == (1, 0, 0)
    assert found['kdumphpd_reloads_total{result="reloaded"}'] == now.reloads
    assert found['kdumphpd_events_total{subsystem="memory"}'] + found['kdumphpd_events_total{subsystem="cpu"}'] == (
        now.events
    )
    assert found["kdumphpd_unprotected_seconds_total"] == pytest.approx(now.unprotected, abs=0.002)
    assert found["kdumphpd_stale_duration_seconds_count"] == 1
    assert found["kdumphpd_crashkernel_bytes"] == int(machine.run("cat /sys/kernel/kexec_crash_size").stdout)
    keep("kdumphpd.prom", machine.read_file(METRICS))

    # An image that the operator stops, and a daemon that is started again.
    machine.run("systemctl stop kdump-tools")
    machine.wait_until(f"grep -qx 'kdumphpd_stopped 1' {METRICS}")
    # The journal says so when the listener has asked, which takes it two more seconds.
    machine.wait_until("kdumphpctl history --boot | grep -q 'not loaded .*kdump-tools.service was stopped'")
    machine.run("systemctl start kdump-tools", timeout=120)
    machine.wait_until(f"grep -qx 'kdumphpd_protected 1' {METRICS}")
    machine.run("systemctl stop kdumphpd")
    assert machine.run(f"test -e {METRICS}", check=False).returncode == 1
    machine.run("systemctl start kdumphpd")
    kdump.wait_checked(machine)

    # What was seen live, and by an ordinary user.
    machine.wait_until("tail -n 1 /run/watched | grep -q ' armed '")
    watching.stop()
    watched = machine.read_file("/run/watched")
    keep("watch.txt", watched)
    assert len(re.findall(r"GiB of memory onlined \(.*\): reloaded the kdump image", watched)) == 1
    assert len(re.findall(r"GiB of memory onlined \(.*\): the kernel updated", watched)) == 2
    assert "not-loaded" in watched
    assert "kdumphpd is not running" in watched

    # What the journal tells, of our own unit alone.
    machine.run("journalctl --sync")
    entries = json.loads(machine.run(ALL).stdout)["entries"]
    kinds = [entry["kind"] for entry in entries if entry["events"]]
    # A slow machine adds and onlines a CPU in two bursts.
    assert kinds == ["reloaded", *["updated"] * (now.bursts - 1)]
    assert sum(entry["events"] for entry in entries) == now.events
    assert [entry["kind"] for entry in entries].count("started") == 2
    assert not [entry for entry in entries if entry["sentence"] == "forged"]
    assert any("forged" in line for line in journal.read(machine, "SYSLOG_IDENTIFIER=kdumphpd"))
    text = machine.run("kdumphpctl history --boot").stdout
    keep("history.txt", text)
    assert len(text.splitlines()) == len(entries)
    assert len(machine.run("kdumphpctl history -n 2").stdout.splitlines()) == 2
    assert machine.run("kdumphpctl history --since=tomorrow", check=False).stdout == ""
    refused = machine.run("kdumphpctl history --since=whenever", check=False)
    assert refused.returncode == 4
    assert "whenever" in refused.stderr

    # The same as a picture, and as data.
    picture = machine.run("kdumphpctl plot --boot").stdout
    keep("plot.svg", picture)
    drawn = "".join(ElementTree.fromstring(picture).itertext())  # noqa: S314 - our own picture
    assert f"{now.bursts} bursts of {now.events} uevents: {now.bursts - 1} updated by the kernel, 1 reloaded" in drawn
    assert "forged" not in drawn
    spans = json.loads(machine.run("kdumphpctl plot --boot --json").stdout)["spans"]
    phases = [span["phase"] for span in spans]
    assert {"protected", "stale", "unprotected", "stopped", "not watched"} <= set(phases)
    # The image that kdump-tools loaded was reloaded as well, so that it is safe.
    unprotected = sum(span["end"] - span["begin"] for span in spans if span["phase"] == "unprotected")
    assert unprotected == pytest.approx(sum(entry["unprotected"] for entry in entries), abs=0.01)
    assert unprotected >= now.unprotected - 0.01
    kdump.record(result, before, now, load="-c", verdict="history, plot, watch and metrics agree")
