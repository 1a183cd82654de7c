# SPDX-License-Identifier: GPL-2.0-or-later
"""`make demo`: what a hotplug does to kdump on Debian 13, first without kdumphpd and then with it."""

import tempfile
import textwrap
from pathlib import Path

from tests.vm import kdump, snapshot
from tests.vm import payload as payloads
from tests.vm.guests import GUESTS
from tests.vm.qemu import Machine

GUEST = GUESTS["debian13"]


def main() -> None:
    say(f"Preparing a throwaway machine: {GUEST.name}, emulated. The first time this takes some minutes.")
    with tempfile.TemporaryDirectory(prefix="kdumphpd-demo-") as folder:
        payload = payloads.build(Path(folder))
        booted = snapshot.booted(GUEST)
        frozen = payloads.installed(booted, payload)
        with frozen.restored(Path(folder) / "work", payload.disk) as machine:
            without(machine)
            with_kdumphpd(machine)


def without(machine: Machine) -> None:
    title("Without kdumphpd: Debian's own udev rule")
    say("kdump is armed with an image that the kernel may not touch (kexec -p -c), as on many machines today.")
    machine.run("systemctl stop kdumphpd")
    kdump.load(machine, "-c")
    show(machine, "uname -r; kdump-config status; kdumphpctl verify")
    say("Now 1 GiB of memory is plugged in. Debian's rule fires for each of its 8 blocks:")
    machine.add_memory(1024)
    machine.wait_until("[ $(ls -d /sys/devices/system/memory/memory* | wc -l) = 16 ]")
    machine.run("udevadm settle --timeout=120", timeout=150)
    show(machine, "journalctl -b -o cat -t kdump-config | tail -n 8; kdumphpctl verify || true")
    say("Every reload was refused by udevd's sandbox. A dump would now lack that memory, and nobody has said so.")


def with_kdumphpd(machine: Machine) -> None:
    title("With kdumphpd")
    say("It looks at the image when it starts, finds it out of date and reloads it, once:")
    machine.run("systemctl start kdumphpd")
    start = kdump.wait_checked(machine)
    show(machine, "journalctl -o cat -u kdumphpd -n 1; kdumphpctl verify")
    say("2 GiB more, and a CPU. From now on the kernel may update the image, so it does, and nothing is reloaded:")
    machine.add_memory(2048)
    grown = kdump.wait_handled(machine, start, events=32)
    kdump.plug_cpu(machine)
    after = kdump.wait_handled(machine, grown)
    show(machine, "journalctl -o cat -u kdumphpd -n 2; kdumphpctl verify; kdumphpctl inspect; kdumphpctl status")
    say(
        f"{after.events} events, {after.bursts} bursts, {after.reloads} reload, "
        f"{after.unprotected:.1f} s without an image on this emulated machine."
    )


def title(text: str) -> None:
    print(f"\n\033[1m{text}\n{'─' * len(text)}\033[0m", flush=True)


def say(text: str) -> None:
    print(f"\n{textwrap.fill(text, 100)}", flush=True)


def show(machine: Machine, command: str) -> None:
    for line in command.split("; "):
        print(f"\n  \033[2m# {line}\033[0m", flush=True)
        done = machine.run(line, timeout=120, check=False)
        print(textwrap.indent((done.stdout + done.stderr).rstrip(), "  "), flush=True)


if __name__ == "__main__":
    main()
