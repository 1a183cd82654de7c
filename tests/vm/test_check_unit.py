# SPDX-License-Identifier: GPL-2.0-or-later
"""kdumphpd-check.service, as those see it who look at what they always look at: failed units, and OnFailure=."""

import pytest

from tests.vm import kdump
from tests.vm.qemu import Machine
from tests.vm.results import Result

UNIT = "kdumphpd-check.service"
ACTIVE = f"systemctl is-active -q {UNIT}"
FAILED = f"systemctl is-failed -q {UNIT}"
UPDATED = "! systemctl is-active -q kdumphpd-check-update.service"

# A mail in an operator's configuration, a line in a file here.
MAIL = "[Service]\nType=oneshot\nExecStart=sh -c 'echo %i >> /run/mailed'\n"
ON_FAILURE = "[Unit]\nOnFailure=mail@%n.service\n"

INITRD = "/var/lib/kdump/initrd.img"  # a link
BREAK = f"f=$(readlink -f {INITRD}); cp $f /root/whole; truncate -s $(($(stat -c %s $f) / 2)) $f"
MEND = f"cp /root/whole $(readlink -f {INITRD})"


def mails(machine: Machine) -> list[str]:
    return machine.run("cat /run/mailed", check=False).stdout.split()


def failed_units(machine: Machine) -> list[str]:
    return machine.run("systemctl list-units --failed --plain --no-legend | cut -d' ' -f1").stdout.split()


def evaluate(machine: Machine) -> None:
    """Have somebody look now, and wait until what follows from that has been done."""
    machine.run("systemctl start kdumphpd-check-update.service", timeout=180)


@pytest.mark.guests("debian12")
def test_check_unit(machine: Machine, result: Result) -> None:
    """It fails while the image is missing against the operator's wish, and at no other time."""
    machine.write_file("/etc/systemd/system/mail@.service", MAIL)
    machine.write_file(f"/etc/systemd/system/{UNIT}.d/mail.conf", ON_FAILURE)
    machine.run("systemctl daemon-reload")
    machine.wait_until(ACTIVE)
    assert failed_units(machine) == []
    assert machine.run("systemctl is-system-running").stdout == "running\n"
    before = kdump.seen(machine)

    # Unloaded behind our back, and nothing there that could be loaded again.
    machine.run(f"{BREAK}; kexec -p -u")
    machine.wait_until(FAILED)
    assert failed_units(machine) == [UNIT]
    assert machine.run("systemctl is-system-running", check=False).stdout == "degraded\n"
    machine.wait_until("test -s /run/mailed")
    assert "protected     NO: a panic leaves no dump" in machine.run(f"journalctl -b -u {UNIT} -o cat").stdout
    assert machine.run("kdumphpctl status", check=False).returncode == 1
    # Whoever looks again finds no news, and calls nobody again.
    evaluate(machine)
    machine.run(FAILED)
    assert mails(machine) == [UNIT]

    machine.run(f"{MEND}; systemctl restart kdump-tools", timeout=120)
    machine.wait_until(ACTIVE)
    assert failed_units(machine) == []
    assert machine.run("systemctl is-system-running").stdout == "running\n"

    # What the operator stops is no failure.
    machine.run("systemctl stop kdump-tools")
    machine.wait_until("grep -qx not-loaded /run/kdumphpd/condition")
    evaluate(machine)
    machine.run(ACTIVE)
    assert machine.run("kdumphpctl status", check=False).returncode == 3
    machine.run("systemctl start kdump-tools", timeout=120)
    kdump.wait_current(machine, before)

    # A listener that is dead is told, and what happens then, too.
    kdump.kill_for_good(machine)
    machine.wait_until(FAILED)
    assert machine.run("kdumphpctl status", check=False).returncode == 4
    assert mails(machine) == [UNIT, UNIT]
    machine.run("rm -r /run/systemd/system/kdumphpd.service.d; systemctl daemon-reload; systemctl start kdumphpd")
    machine.wait_until(ACTIVE)

    # One that the operator stops is nobody's failure.
    machine.run("systemctl stop kdumphpd")
    machine.wait_until(f"{UPDATED} && ! {ACTIVE} && ! {FAILED}")
    assert failed_units(machine) == []
    assert machine.run(
        "systemctl is-active kdumphpd-check.path kdumphpd-check.timer", check=False
    ).stdout.split() == [
        "inactive",
        "inactive",
    ]
    assert mails(machine) == [UNIT, UNIT]
    kdump.record(result, before, before, load="kdump-tools", verdict="failed exactly while no image was loaded")
