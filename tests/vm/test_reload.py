# SPDX-License-Identifier: GPL-2.0-or-later
"""Reloads on real kernels: the one at the start, how long they leave no image, and what must not cost the old one."""

import json
from collections.abc import Callable
from statistics import median

import pytest

from tests.vm import inside, journal, kdump
from tests.vm.qemu import Machine
from tests.vm.results import Result

# How often each way is measured, of which the median counts; the two that differ least are measured more often.
TIMES = 3
CLOSE_TIMES = 7

# kdumphpctl says tenths of a second; this is the answer itself.
REARM = (
    'python3 -c "import dataclasses, json, pathlib; from kdumphpd import client, protocol;'
    " print(json.dumps(dataclasses.asdict("
    "client.ask(pathlib.Path('/'), protocol.Request.REARM, 300))))\""
)


def milliseconds(seconds: list[float]) -> str:
    return " ".join(f"{each * 1000:.0f}" for each in seconds)


def without_image(machine: Machine, command: str) -> tuple[float, str]:
    """Seconds without an image while a line of /bin/sh runs in the guest, by a meter of our own; and its output."""
    with inside.sampling(machine, 0.001) as sampled:
        said = machine.run(command, timeout=600).stdout
    return sampled.unprotected, said


def configure(machine: Machine, text: str) -> None:
    machine.write_file("/etc/kdumphpd.toml.d/scenario.toml", text)


def restart(machine: Machine) -> kdump.Seen:
    """Restart the listener, and wait until it has looked."""
    machine.run("systemctl restart kdumphpd")
    return kdump.wait_checked(machine)


@pytest.mark.guests("debian13", "debian13-backports")
def test_make_updatable_at_start(machine: Machine, result: Result) -> None:
    """An image that the kernel may not touch is reloaded once at the start; from then on the kernel updates it."""
    configure(machine, kdump.AS_LOADED)
    kdump.load(machine, "-c")
    assert restart(machine).reloads == 0
    assert kdump.crash_hotplug(machine) == ("0", "0")

    configure(machine, "")
    once = restart(machine)
    assert once.reloads == 1
    assert "because the kernel could not update it" in journal.read(machine, "-u kdumphpd")[-1]
    assert journal.read(machine, "-u kdumphpd")[-1].endswith("; the kernel updates the new image by itself")
    assert kdump.crash_hotplug(machine) == ("1", "1")

    machine.add_memory(1024)
    after = kdump.wait_handled(machine, once, events=16)
    assert after.sentence.endswith(": the kernel updated the kdump image")
    assert after.reloads == once.reloads
    [(first, last)] = kdump.dimms(machine)
    assert kdump.image_has(machine, first, last)
    verdict = kdump.inspect(machine)["verdict"]["state"]
    assert verdict == "current"
    kdump.record(result, kdump.NOTHING, after, load="-c", verdict=verdict)


@pytest.mark.guests("debian13-ppc64el")
def test_make_updatable_at_start_powerpc(machine: Machine, result: Result) -> None:
    """Reloaded before memory is added, the image gets it from the kernel; a reload afterwards would leave it out."""
    once = kdump.wait_checked(machine)  # the first start, at the installation
    assert once.reloads == 1
    assert "because the kernel could not update it" in journal.read(machine, "-u kdumphpd")[-1]
    assert journal.read(machine, "-u kdumphpd")[-1].endswith("; the kernel updates the new image by itself")
    assert kdump.crash_hotplug(machine) == ("1", "1")
    machine.add_memory(512)
    after = kdump.wait_handled(machine, once, events=4)
    assert after.reloads == once.reloads
    [(first, last)] = kdump.dimms(machine)
    assert kdump.image_has(machine, first, last)
    verdict = kdump.inspect(machine)["verdict"]["state"]
    assert verdict == "current"
    kdump.record(result, kdump.NOTHING, after, load="kdump-tools", verdict=verdict)


@pytest.mark.long  # thirty loads; and what is compared depends on how quiet the host is
@pytest.mark.guests("debian13")
def test_unprotected(machine: Machine, result: Result) -> None:
    """The time without an image, side by side with kexec by hand and with kdump-config."""
    machine.run("systemctl stop kdumphpd")
    reported: dict[str, list[float]] = {}

    def bare(*options: str) -> float:
        return without_image(machine, kdump.load_command(*options))[0]

    def ours(method: str) -> float:
        # An image that lacks a block of memory, and a rate limit that defers nothing.
        configure(machine, f'[reload]\nsyscall = "{method}"\nmax_unprotected = 1\n')
        kdump.load(machine, "-c")
        kdump.grow(machine)
        seconds, said = without_image(machine, REARM)
        answer = json.loads(said.splitlines()[-1])
        assert answer["outcome"] == "reloaded", answer
        reported.setdefault(method, []).append(answer["unprotected"])
        return seconds

    ways: dict[str, Callable[[], float]] = {
        "kdump-config reload": lambda: without_image(machine, "kdump-config reload")[0],
        "kexec -s": lambda: bare("-s"),
        "ours file": lambda: ours("file"),
        "ours load": lambda: ours("load"),
        "kexec -c --hotplug": lambda: bare("-c", "--hotplug"),
        "ours auto": lambda: ours("auto"),
    }
    close = ("kexec -c --hotplug", "ours auto")
    seen: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(CLOSE_TIMES):
        for name in ways if turn < TIMES else close:
            seen[name].append(ways[name]())
    typical = {name: median(gaps) for name, gaps in seen.items()}
    for name, gaps in seen.items():
        told = reported.get(name.removeprefix("ours "), [])
        print(f"{name}: {milliseconds(gaps)}, median {typical[name] * 1000:.0f} ms; reported {milliseconds(told)}")
    to_bare = typical["ours auto"] / typical["kexec -c --hotplug"]
    to_distribution = typical["ours auto"] / typical["kdump-config reload"]
    result.load, result.reloads = "-c", sum(map(len, reported.values()))
    result.unprotected_ms = round(typical["ours auto"] * 1000, 1)
    result.verdict = (
        f"ours auto {to_bare:.2f} × bare kexec -c --hotplug, {to_distribution:.2f} × kdump-config reload, "
        f"ours file {typical['ours file'] / typical['kexec -s']:.2f} × bare kexec -s"
    )
    assert to_bare <= 1.2, result.verdict
    assert to_distribution <= 0.1, result.verdict


INITRD = "/var/lib/kdump/initrd.img"  # a link


@pytest.mark.guests("debian12", "debian13")
def test_bad_initrd(machine: Machine, result: Result) -> None:
    """A file that cannot be loaded costs no image: the old one stays until it is fixed, and then it goes at once."""
    configure(machine, kdump.AS_LOADED)
    machine.run("systemctl reload kdumphpd")
    target = machine.run(f"readlink -f {INITRD}").stdout.strip()
    before = kdump.seen(machine)
    for damage in (
        f"mv {target} /var/lib/whole",
        f"cp {target} /var/lib/whole; truncate -s $(($(stat -c %s {target}) / 2)) {target}",
        f"cp {target} /var/lib/whole; truncate -s {machine.guest.crashkernel} {target}",
    ):
        kdump.load(machine, "-c")
        start = kdump.seen(machine)
        with inside.sampling(machine) as seen:
            machine.run(damage)
            kdump.grow(machine)
            failed = kdump.wait_failed(machine, start)
        assert seen.unprotected == 0, damage
        assert "the kdump image could not be reloaded: " in failed.sentence
        assert target in failed.sentence or INITRD in failed.sentence
        assert failed.sentence.split(";")[-2].endswith("the old kdump image is still loaded")
        assert failed.sentence in journal.read(machine, journal.OURS)
        status = machine.run("kdumphpctl status", check=False)
        assert status.returncode == 1
        assert "The kdump image may be out of date" in status.stdout
        assert failed.reloads == start.reloads

        machine.run(f"mv /var/lib/whole {target}")
        fixed = kdump.wait_reloaded(machine, failed)
        assert fixed.healthy
        assert kdump.inspect(machine)["verdict"]["state"] == "current"
        assert machine.run("kdumphpctl status").returncode == 0
    kdump.record(result, before, fixed, load="-c", verdict="the old image stayed, and was replaced when fixed")


CURRENT = """kdumphpctl inspect --json | grep -qE '"state": ?"current"'"""
REPORTED = "systemctl show -P StatusText kdumphpd | grep -qE 'out of date|does not answer'"

# Every byte of a file system, down to the last block.
FILL = """
n=0
for size in 512M 64M 8M 1M 64K 4K; do
    while fallocate -l $size {0}/fill.$((n+=1)) 2>&-; do :; done
done
dd if=/dev/zero of={0}/fill bs=4k 2>&-
[ $(stat -f -c %a {0}) -lt 8 ]
"""


@pytest.mark.guests("debian12", "debian13")
def test_full_disk(machine: Machine, result: Result) -> None:
    """Not a byte left, neither on the disk nor in /run: an image at all times, and a current one in the end."""
    configure(machine, kdump.AS_LOADED)
    machine.run("systemctl reload kdumphpd")
    kdump.load(machine, "-c")
    with inside.sampling(machine) as seen:
        for folder in ("/var", "/run"):
            machine.run(FILL.format(folder), timeout=300)
        kdump.grow(machine)
        # Neither state.json nor a journal in /run can be written now.
        machine.wait_until(f"{CURRENT} || {REPORTED}", timeout=kdump.BURST_S)
        status = machine.run("systemctl show -P StatusText kdumphpd").stdout.strip()
        in_spite = kdump.inspect(machine)["verdict"]["state"] == "current"
    assert kdump.loaded(machine)
    assert in_spite or seen.unprotected == 0

    machine.run("rm /var/fill* /run/fill*")
    machine.wait_until(CURRENT, timeout=kdump.BURST_S)
    assert kdump.loaded(machine)
    assert machine.run("systemctl show -P NRestarts kdumphpd").stdout.strip() == "0"
    result.load, result.unprotected_ms = "-c", round(seen.unprotected * 1000, 1)
    result.verdict = f"reloaded in spite of it; {status}" if in_spite else f"{status}; reloaded when there was room"
