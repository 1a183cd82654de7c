# SPDX-License-Identifier: GPL-2.0-or-later
"""What the scenarios do with kdump in a guest, and what they see of it there."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.vm import journal
from tests.vm.qemu import Machine
from tests.vm.results import Result

BURST_S = 90.0  # until a burst is handled, at the most; an emulated guest is slow
SETTLED_S = 300.0  # until all is well again after whatever went wrong
POLL_S = 0.5

STATE = "cat /run/kdumphpd/state.json"
LOADED = "cat /sys/kernel/kexec/crash_loaded 2>/dev/null || cat /sys/kernel/kexec_crash_loaded"
BLOCKS = "/sys/devices/system/memory/memory*"
STOCK_RULE = "50-kdump-tools.rules"
MASK = f"/run/udev/rules.d/{STOCK_RULE}"

# The image describes the machine, and nobody is about to do anything.
SETTLED = """
kdumphpctl verify > /dev/null && grep -q '"healthy": true' /run/kdumphpd/state.json &&
grep -q '"burst": false' /run/kdumphpd/state.json && grep -q '"asking": false' /run/kdumphpd/state.json &&
grep -q '"pending":null' /run/kdumphpd-helper/record.json &&
[ -z "$(systemctl list-units --no-legend 'kdumphpd-helper@*.service')" ]
"""

# When the next reload is permitted, by the clock that counts from boot: see load/budget.py, with the default share.
ALLOWED = """
python3 -c 'import json, time
record = json.load(open("/run/kdumphpd-helper/record.json"))
raise SystemExit(time.monotonic() < record["ended"] + 19 * record["unprotected"])'
"""


@dataclass(frozen=True)
class Seen:
    """The listener's state.json at one moment."""

    state: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.state[name]

    @property
    def sentence(self) -> str:
        """The last burst's, empty before the first."""
        return self.last_burst["sentence"] if self.last_burst else ""

    @property
    def idle(self) -> bool:
        """Nothing is open: no burst, no request, no deferred or pending reload."""
        return not (self.burst or self.asking or self.pending or self.deferred_until)


# Before the listener has received or done anything.
NOTHING = Seen({"bursts": 0, "checks": 0, "events": 0, "reloads": 0, "failures": 0, "unprotected": 0.0})


def seen(machine: Machine) -> Seen:
    return Seen(json.loads(machine.run(STATE).stdout))


def wait_handled(machine: Machine, before: Seen, events: int = 1) -> Seen:
    """Wait until the listener has received `events` more, and handled all it has received."""
    return _wait(
        machine,
        lambda now: (
            now.bursts > before.bursts
            and now.events >= before.events + events
            and not (now.burst or now.asking or now.deferred_until)
        ),
    )


def wait_checked(machine: Machine, before: Seen = NOTHING) -> Seen:
    """Wait until the helper has answered once more, and nothing is open."""
    return _wait(machine, lambda now: now.checks > before.checks and not (now.burst or now.asking))


def wait_reloaded(machine: Machine, before: Seen) -> Seen:
    """Wait until the image was reloaded, and all was handled."""
    return _wait(machine, lambda now: now.reloads > before.reloads and now.idle)


def wait_current(machine: Machine, before: Seen, events: int = 0) -> Seen:
    """Wait until `events` more are handled, and the image is right by the helper's last answer."""
    return _wait(
        machine,
        lambda now: (
            now.events >= before.events + events
            and now.checks > before.checks
            and now.idle
            and now.healthy
            and now.last_check["outcome"] in ("current", "reloaded", "unverified")
        ),
    )


def wait_failed(machine: Machine, before: Seen) -> Seen:
    """Wait until a request has failed."""
    return _wait(machine, lambda now: now.failures > before.failures)


def wait_settled(machine: Machine) -> None:
    """Wait until an image is loaded that describes the machine, and nothing is left to be done."""
    machine.wait_until(SETTLED, SETTLED_S)


def wait_allowed(machine: Machine) -> None:
    """Wait until the next reload is permitted: a share of the time is one of whole reloads, each with its wait."""
    machine.wait_until(ALLOWED, SETTLED_S)


def _wait(machine: Machine, done: Callable[[Seen], bool]) -> Seen:
    end = time.monotonic() + BURST_S
    while not done(now := seen(machine)):
        assert time.monotonic() < end, f"not handled within {BURST_S:.0f} s; now {now}"
        time.sleep(POLL_S)
    return now


def load(machine: Machine, *options: str) -> None:
    """Load an image that is safe as kdump-config does, with options of our own: an operator at the keyboard."""
    machine.run(load_command(*options), timeout=120)


def load_command(*options: str, append: str = "acpi_no_memhotplug") -> str:
    """The line of /bin/sh for that."""
    add = f's/--command-line="/&{append} /'
    return f"eval \"$(sed 's/ -p / -p {' '.join(options)} /; {add}' /var/crash/kexec_cmd)\""


def configure(machine: Machine, text: str) -> None:
    """Put a drop-in in force."""
    machine.write_file("/etc/kdumphpd.toml.d/scenario.toml", text)
    machine.run("systemctl reload kdumphpd")


# What a scenario has loaded stays as it is until CPUs or memory change.
AS_LOADED = "[reload]\nmake_updatable = false\nmax_unprotected = 1\n"


def loaded(machine: Machine) -> bool:
    return machine.run(LOADED).stdout.strip() == "1"


def crash_hotplug(machine: Machine) -> tuple[str, str]:
    """The kernel's two answers, "absent" where there is no such file."""
    command = "for s in cpu memory; do cat /sys/devices/system/$s/crash_hotplug 2>/dev/null || echo absent; done"
    cpu, memory = machine.run(command).stdout.split()
    return cpu, memory


def inspect(machine: Machine) -> dict[str, Any]:
    """kdumphpctl inspect --json: the image as it lies in the guest's memory, and the verdict on it."""
    return dict(json.loads(machine.run("kdumphpctl inspect --json", check=False).stdout))


def dimms(machine: Machine) -> list[tuple[int, int]]:
    """Physical first and last address of each DIMM that QEMU has plugged, or of what virtio-mem has grown by.

    A guest fills virtio-mem from its beginning.
    """
    devices = (device["data"] for device in machine.qmp.execute("query-memory-devices"))
    extents = ((device.get("addr", device.get("memaddr")), device["size"]) for device in devices)
    return sorted((start, start + size - 1) for start, size in extents if size)


def image_has(machine: Machine, first: int, last: int) -> bool:
    """Whether one PT_LOAD of the elfcorehdr in memory covers all of it."""
    loads = inspect(machine)["image"]["elfcorehdr"]["loads"]
    return any(start <= first and last <= end for start, end in loads)


def plug_cpu(machine: Machine) -> str:
    """Plug CPU 1 and bring it online, as an administrator of Debian has to; returns QEMU's name of it."""
    device = machine.add_cpu()
    switch = "/sys/devices/system/cpu/cpu1/online"
    machine.wait_until(f"test -e {switch}")
    machine.run(f"echo 1 > {switch}")
    return device


def online_memory(machine: Machine) -> None:
    """Bring every offline memory block online, as an administrator of Debian 12 has to."""
    machine.run(
        "for s in /sys/devices/system/memory/memory*/state; do"
        ' [ "$(cat $s)" = online ] || echo online_movable > $s; done',
        timeout=120,
    )


def plug_offline(machine: Machine, blocks: int) -> None:
    """Plug memory that stays offline, as Debian 12 leaves it, and wait until all of that is handled."""
    before = seen(machine)
    machine.add_memory(blocks * machine.guest.arch.dimm_mib)
    wait_handled(machine, before, events=blocks)


def grow(machine: Machine, mib: int = 0) -> None:
    """Plug `mib` MiB, the smallest DIMM unless told, and wait until the guest uses them."""
    count = f"ls -d {BLOCKS} | wc -l"
    before = int(machine.run(count).stdout)
    mib = mib or machine.guest.arch.dimm_mib
    machine.add_memory(mib)
    machine.wait_until(f"[ $({count}) = {before + mib // machine.guest.arch.dimm_mib} ]")
    online = f"for s in $(grep -Lx online {BLOCKS}/state); do echo online_movable > $s; done 2>&-"
    machine.wait_until(f'{online}; [ -z "$(grep -Lx online {BLOCKS}/state)" ]')


def reloads(machine: Machine) -> list[dict[str, str]]:
    """The journal entries of the requests that ended in a reload, oldest first."""
    return [json.loads(line) for line in journal.read(machine, "-u kdumphpd KDUMPHPD_OUTCOME=reloaded", "json")]


def reloads_begun(machine: Machine) -> int:
    """How often the helper has begun to reload, whoever asked and whatever came of it."""
    lines = journal.read(machine, journal.HELPER)
    return sum(line.startswith("reloading the kdump image") for line in lines)


def rule_in_force(machine: Machine, name: str) -> str:
    """Which file of that name udev goes by (udev(7)), links followed; empty where there is none."""
    folders = "/etc /run /usr/local/lib /usr/lib"
    command = f"for d in {folders}; do f=$d/udev/rules.d/{name}; [ -e $f ] && {{ readlink -f $f; exit; }}; done"
    return machine.run(command, check=False).stdout.strip()


def kill_for_good(machine: Machine) -> None:
    """Kill the listener, and let nobody start it again."""
    machine.write_file("/run/systemd/system/kdumphpd.service.d/once.conf", "[Service]\nRestart=no\n")
    machine.run("systemctl daemon-reload; systemctl kill -s KILL --kill-whom=main kdumphpd")
    machine.wait_until("systemctl is-failed -q kdumphpd")


def record(result: Result, before: Seen, after: Seen, *, load: str = "", verdict: str = "") -> None:
    """Fill in the row of a scenario from what the listener counted between two looks."""
    result.load = load
    result.events = after.events - before.events
    result.reloads = after.reloads - before.reloads
    result.unprotected_ms = round((after.unprotected - before.unprotected) * 1000, 1)
    result.stale_ms = round(after.last_burst["stale"] * 1000, 1) if after.last_burst else 0.0
    result.verdict = verdict
