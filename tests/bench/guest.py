# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures from guests: unprotected time and stale time, ours beside what the distributions do, in one run each.

Times are those of an emulated machine, so only what stands side by side can be compared.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from kdumphpd.config import EventsConfig
from tests.bench.figure import Figure
from tests.vm import inside, kdump, payload, snapshot
from tests.vm.guests import GUESTS
from tests.vm.qemu import Machine
from tests.vm.test_loaders import use_kdumpctl, use_suse

TIMES = 3

# Each family's own reload, and how a guest becomes one of it.
FAMILIES: dict[str, tuple[str, Callable[[Machine], None]]] = {
    "kdump-tools": ("kdump-config reload", lambda _: None),
    "kdumpctl": ("kdumpctl reload", use_kdumpctl),
    "suse": ("/usr/lib/kdump/load.sh", use_suse),
}

# Or they would be in force while the daemon is stopped, and unload the image.
NO_RULES = (
    "for rule in 50-kdump-tools 98-kexec 70-kdump; do ln -sf /dev/null /etc/udev/rules.d/$rule.rules; done; "
    "udevadm control --reload"
)

CONFIG = "[reload]\nmax_unprotected = 1\nmake_updatable = false\n"

# Debian's rule, with the sandbox of udevd lifted that keeps it from loading at all.
UNSANDBOXED = "[Service]\nSystemCallFilter=\nRestrictSUIDSGID=no\nProtectHostname=no\nMemoryDenyWriteExecute=no\n"

# In the manner of kdump-udev-throttler of Fedora: one at a time, late enough for what follows to be included, and an
# unload before the load. $1 is the event's device.
THROTTLER = """#!/bin/sh
exec 9>/run/throttler.lock
flock -n 9 || exit 0
sleep 1; udevadm settle --timeout 3
exec 9>&-
kexec -p -u; eval "$(cat /var/crash/kexec_cmd)"
"""
THROTTLED_RULE = (
    'SUBSYSTEM=="memory", ACTION=="online|offline", RUN+="/usr/bin/systemd-run --no-block /usr/local/bin/throttler"\n'
)


def figures() -> Iterator[Figure]:
    """Every figure, as it comes."""
    yield from _unprotected()
    for blocks in (8, 64):
        yield from _burst(blocks)


@contextmanager
def _machine(name: str) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="kdumphpd-bench-") as folder:
        software = payload.build(Path(folder))
        frozen = payload.installed(snapshot.booted(GUESTS[name]), software)
        with frozen.restored(Path(folder) / "work", software.disk) as machine:
            yield machine


def _without_image(machine: Machine, command: str) -> float:
    """Milliseconds without an image while a line of /bin/sh runs in the guest, by a meter of the bench's own."""
    with inside.sampling(machine, 0.001) as sampled:
        machine.run(command, timeout=600)
    return sampled.unprotected * 1000


def _unprotected() -> Iterator[Figure]:
    """One reload: bare kexec, each family's own, and ours on each family."""
    for family, (own, become) in FAMILIES.items():
        yield from _of_family(family, own, become)


def _of_family(family: str, own: str, become: Callable[[Machine], None]) -> Iterator[Figure]:
    with _machine("debian13") as machine:
        become(machine)
        machine.run(f"systemctl stop kdumphpd kdumphpd.socket; {NO_RULES}")
        machine.write_file("/etc/kdumphpd.toml.d/bench.toml", CONFIG)

        def ours() -> float:
            # An image that lacks a block of memory.
            kdump.load(machine, "-c")
            kdump.grow(machine)
            return _without_image(machine, "kdumphpctl rearm --now")

        bare = [_without_image(machine, kdump.load_command("-c", "--hotplug")) for _ in range(TIMES)]
        yield Figure(f"unprotected_{family}_bare", median(bare), "ms", "without an image: kexec -c --hotplug by hand")
        theirs = [_without_image(machine, own) for _ in range(TIMES)]
        yield Figure(f"unprotected_{family}_own", median(theirs), "ms", f"without an image: {own}")
        mine = [ours() for _ in range(TIMES)]
        ratio = median(mine) / median(bare)
        what = f"without an image: kdumphpctl rearm with {family}, {ratio:.2f} × bare kexec"
        yield Figure(f"unprotected_{family}_ours", median(mine), "ms", what)


def _burst(blocks: int) -> Iterator[Figure]:
    """A burst on an image that the kernel may not touch (6.1): ours, Debian's rule, and a throttled reload."""
    for who, prepare in (("ours", _ours), ("rule", _rule), ("throttled", _throttled)):
        with _machine("debian12") as machine:
            machine.run("echo online_movable > /sys/devices/system/memory/auto_online_blocks")
            prepare(machine)
            cpu = _cpu_seconds(machine)
            with inside.sampling(machine) as sampled:
                began = _uptime(machine)
                kdump.grow(machine, 128 * blocks)
                # It is not looked at meanwhile: the guest has one CPU, and looking would cost more than all the rest.
                machine.wait_until(QUIET, timeout=1800)
            spent = _cpu_seconds(machine) - cpu
            machine.run(DESCRIBES)
            name, what = f"burst_{blocks}_{who}", f"burst of {blocks} blocks, {who}"
            yield Figure(f"{name}_reloads", sampled.gaps, "", f"{what}: reloads")
            yield Figure(f"{name}_unprotected", sampled.unprotected * 1000, "ms", f"{what}: without an image")
            stale = sampled.loaded - began
            yield Figure(f"{name}_stale", stale * 1000, "ms", f"{what}: from plugging it until the image was right")
            yield Figure(f"{name}_cpu", spent * 1000, "ms", f"{what}: CPU time of the guest until all was over")
            if who == "ours":
                yield from _latency(machine, name, what)


def _latency(machine: Machine, name: str, what: str) -> Iterator[Figure]:
    """From the last uevent on, by the listener's own account."""
    (entry,) = kdump.reloads(machine)[-1:]
    elapsed, duration, seconds = (float(entry[f"KDUMPHPD_{key}"]) for key in ("ELAPSED", "DURATION", "SECONDS"))
    after = elapsed - duration
    times = (after - SETTLE_TIME) / seconds
    text = f"{what}: from the last uevent to the report, the settle time of {SETTLE_TIME:g} s and {times:.1f} × kexec"
    yield Figure(f"{name}_after_last_uevent", after * 1000, "ms", text)


# What the distributions load is unsafe, and describes the machine all the same.
DESCRIBES = "kdumphpctl verify | grep -qE '^(current|unsafe)'"

# Nobody loads, or is about to: all blocks are there, and for some seconds nobody was seen at work.
QUIET = """(
udevadm settle --timeout=60
for i in 1 2 3 4 5 6 7 8 9 10; do
    sleep 1
    pgrep -x 'kexec|kdump-config|throttler|helper' >/dev/null && exit 1
done
true
)"""

SETTLE_TIME = EventsConfig().settle_time  # seconds


def _ours(machine: Machine) -> None:
    machine.write_file("/etc/kdumphpd.toml.d/bench.toml", "[events]\nmax_delay = 120\n")
    machine.run("systemctl reload kdumphpd")
    kdump.load(machine, "-c")


def _rule(machine: Machine) -> None:
    machine.run("systemctl disable --now kdumphpd kdumphpd.socket")
    machine.write_file("/run/systemd/system/systemd-udevd.service.d/bench.conf", UNSANDBOXED)
    machine.run("systemctl daemon-reload; systemctl restart systemd-udevd")
    kdump.load(machine, "-c")


def _throttled(machine: Machine) -> None:
    machine.run("systemctl disable --now kdumphpd kdumphpd.socket; touch /run/udev/rules.d/50-kdump-tools.rules")
    machine.write_file("/usr/local/bin/throttler", THROTTLER, 0o755)
    machine.write_file("/run/udev/rules.d/98-throttled.rules", THROTTLED_RULE)
    machine.run("udevadm control --reload")
    kdump.load(machine, "-c")


def _uptime(machine: Machine) -> float:
    """Seconds since the guest's boot."""
    return float(machine.read_file("/proc/uptime").split()[0])


def _cpu_seconds(machine: Machine) -> float:
    """CPU time that the guest has spent since its boot."""
    user, nice, system, *_ = machine.run("head -n 1 /proc/stat").stdout.split()[1:]
    return (int(user) + int(nice) + int(system)) / 100


__all__ = ["figures"]
