# SPDX-License-Identifier: GPL-2.0-or-later
"""What kdumphpctl says on real machines, in every state: against tests/fixtures/golden/GUEST/STATE.txt."""

import pytest

from tests import golden
from tests.vm import kdump
from tests.vm.guests import GUESTS, Guest
from tests.vm.qemu import Machine
from tests.vm.results import Result

ROOT = ("", "check", "explain", "doctor", "verify")
USER = ("", "doctor", "verify", "rearm")
AS_USER = "setpriv --reuid=nobody --regid=nogroup --clear-groups env -C / "

# kdump-tools' initrd cut short: what it describes can't be loaded again.
INITRD = "/var/lib/kdump/initrd.img"  # a link
BREAK = f"f=$(readlink -f {INITRD}); cp $f /root/whole; truncate -s $(($(stat -c %s $f) / 2)) $f"
MEND = f"cp /root/whole $(readlink -f {INITRD})"


def said(machine: Machine, state: str, commands: tuple[str, ...] = ROOT, prefix: str = "", prompt: str = "#") -> str:
    """A session: each command, what it says and its exit status."""
    text = f"-- {state}\n"
    for command in commands:
        line = f"kdumphpctl {command}".rstrip()
        done = machine.run(f"{prefix}{line} 2>&1", timeout=180, check=False)
        text += f"{prompt} {line}\n{done.stdout}[{done.returncode}]\n\n"
    return text


def keep(machine: Machine, guest: Guest, name: str, state: str) -> None:
    """As root and as an ordinary user."""
    text = said(machine, state) + said(machine, f"{state}, an ordinary user", USER, AS_USER, "$")
    golden.compare(f"{guest.name}/{name}.txt", text, numbers=False)


@pytest.mark.long
@pytest.mark.guests(*(name for name, guest in GUESTS.items() if guest.arch.kdump))  # without it nothing of ours runs
def test_golden(machine: Machine, guest: Guest, result: Result) -> None:
    """Every command in every state that a machine can be brought into."""
    kdump.configure(machine, kdump.AS_LOADED)
    keep(machine, guest, "armed", "as it was booted")
    for variables in ("LC_ALL=C", "LC_ALL=C.UTF-8"):
        text = machine.run(f"env {variables} kdumphpctl explain; env {variables} kdumphpctl check").stdout
        assert text.isascii()
    terminal = "script -qec 'stty cols 80 rows 50; TERM=xterm kdumphpctl doctor --no-pager' /dev/null < /dev/null"
    wide = machine.run(terminal, timeout=180, check=False).stdout
    golden.compare(f"{guest.name}/terminal.txt", wide.replace("\r", ""), numbers=False)
    golden.compare(
        f"{guest.name}/rearm.txt", said(machine, "as it was booted", ("rearm --now", "rearm --json")), numbers=False
    )

    machine.run(
        "sysctl -q kernel.kptr_restrict=2; rm -f /run/kdumphpd-helper/layout.json; kdumphpctl rearm", timeout=180
    )
    keep(machine, guest, "unreadable", "kernel.kptr_restrict is 2")
    machine.run("sysctl -q kernel.kptr_restrict=0")

    kdump.load(machine, "-c")
    machine.run("kdumphpctl rearm", timeout=180)  # nobody notices what kexec alone has loaded
    machine.run(BREAK)
    before = kdump.seen(machine)
    kdump.grow(machine)
    kdump.wait_failed(machine, before)
    keep(machine, guest, "stale", "memory was added, and the initrd is cut short")

    machine.run("kexec -p -u")
    machine.wait_until("grep -q 'UNPROTECTED: no kdump image is loaded: ' /run/kdumphpd/state.json")
    keep(machine, guest, "unloaded", "unloaded behind kdumphpd's back")

    machine.run(f"{MEND}; systemctl stop kdump-tools")
    machine.wait_until("grep -qx not-loaded /run/kdumphpd/condition")
    keep(machine, guest, "stopped", "kdump-tools.service is stopped")

    machine.run("systemctl start kdump-tools; kdumphpctl rearm; systemctl stop kdumphpd", timeout=300)
    keep(machine, guest, "down", "kdumphpd.service is stopped")
    result.verdict = "as in the golden files"
