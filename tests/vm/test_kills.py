# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 at random moments of a reload, most of them while no image is loaded: each time one is loaded again.

On a kernel that never updates an image, so that every DIMM is a reload.
"""

import random
import re

import pytest

from tests.vm import inside, kdump
from tests.vm.qemu import Machine
from tests.vm.results import Result

# No waiting for the bound on the time without an image, which is not what this is about.
CONFIG = """
[reload]
max_unprotected = 1
syscall = "{method}"
"""

# What kdump-config loads by itself is safe as well.
SAFE = (
    'KDUMP_CMDLINE_APPEND="reset_devices systemd.unit=kdump-tools-dump.service nr_cpus=1 irqpoll acpi_no_memhotplug"'
)

# kdump-config without its verb `test`.
SILENT = """
cp -n /usr/sbin/kdump-config /usr/sbin/kdump-config.real
{
    echo '#!/bin/sh'
    echo '[ "$1" != test ] || { echo "Usage: kdump-config"; exit 1; }'
    echo 'exec /usr/sbin/kdump-config.real "$@"'
} > /usr/sbin/kdump-config
"""
TALKING = "[ ! -e /usr/sbin/kdump-config.real ] || mv /usr/sbin/kdump-config.real /usr/sbin/kdump-config"

# How the next image is loaded: each leaves the machine without one in a place of its own.
WAYS = {
    "kexec_load": ("load", ""),
    "kexec_file_load": ("file", ""),
    # Where it does not say what it would load, kdump-config unloads and loads.
    "kdump-config": ("auto", SILENT),
}
IN_GAP = 0.8  # of the kills

# Moments are drawn evenly on a logarithmic scale, for how long things take depends on the machine that runs the test.
DELAYS = {"gap": (0.001, 1.0), "any": (0.01, 10.0)}  # seconds

# A reload may be over when the moment comes: then nobody was killed, and the kill is drawn anew.
TRIES = 4
KILL_S = 300.0  # until somebody was killed or was not there, at the most


@pytest.mark.guests("debian12")
def test_kill_loader(machine: Machine, result: Result) -> None:
    """kexec or kdump-config is killed."""
    kill("loader", 3, machine, result)


@pytest.mark.guests("debian12")
def test_kill_helper(machine: Machine, result: Result) -> None:
    """The helper is killed."""
    kill("helper", 3, machine, result)


@pytest.mark.guests("debian12")
def test_kill_listener(machine: Machine, result: Result) -> None:
    """The listener is killed."""
    kill("listener", 3, machine, result)


@pytest.mark.guests("debian12")
def test_killed_deaf(machine: Machine, result: Result) -> None:
    """What arrives while nobody listens, for the listener is dead, is heard by the next one."""
    before = kdump.seen(machine)
    kdump.plug_offline(machine, 8)
    machine.run(
        f"systemctl kill -s KILL --kill-whom=main kdumphpd; until systemctl show --property=SubState kdumphpd |"
        f" grep -qx SubState=auto-restart; do sleep 0.1; done;"
        f" for s in $(grep -Lx online {kdump.BLOCKS}/state); do echo online_movable > $s; done"
    )
    machine.wait_until("test -e /run/kdumphpd/state.json")  # it goes with the listener
    after = kdump.wait_handled(machine, kdump.NOTHING, events=8)
    assert after.started > before.started
    assert after.receive_buffer == before.receive_buffer
    machine.run("journalctl --sync")
    deaths = r" died +kdumphpd.service: Main process exited, code=killed, status=9/KILL$"
    assert len(re.findall(deaths, machine.run("kdumphpctl history --boot").stdout, re.MULTILINE)) == 1
    assert kdump.inspect(machine)["verdict"]["state"] == "current"
    kdump.record(result, kdump.NOTHING, after, load="kdump-tools", verdict="current; nothing was lost")


@pytest.mark.long
@pytest.mark.guests("debian12")
@pytest.mark.parametrize("target", ["loader", "helper", "listener"])
def test_kill_long(target: str, machine: Machine, result: Result) -> None:
    """The same for each of them, twenty times."""
    result.name = f"kill-{target}-long"
    kill(target, 20, machine, result)


def kill(target: str, count: int, machine: Machine, result: Result) -> None:
    """Kill `target` in `count` reloads; after each an image is loaded and current, without anybody's help."""
    seed = random.SystemRandom().getrandbits(32)
    draw = random.Random(seed)
    machine.run("echo online_movable > /sys/devices/system/memory/auto_online_blocks")
    machine.run(f"echo '{SAFE}' >> /etc/default/kdump-tools")
    kills: list[bool] = []  # in the gap, or not
    with inside.sampling(machine) as sampled:
        for _ in range(count * TRIES):
            way = draw.choice(list(WAYS))
            moment = "gap" if draw.random() < IN_GAP else "any"
            low, high = DELAYS[moment]
            delay = low * (high / low) ** draw.random()
            prepare(machine, way)
            killer = inside.start_killer(machine, target, moment, delay, draw.random())
            machine.add_memory(128)
            done = inside.killed(killer, KILL_S)
            print(f"seed {seed}: {way}, {delay:.3f} s ({moment}): {done}")
            kdump.wait_settled(machine)
            kills += [done["gap"]] if done["name"] else []
            if len(kills) == count:
                break
    assert len(kills) == count, "the reloads were over before the moments that were drawn"
    machine.run("systemctl is-active kdumphpd.service kdumphpd-helper.socket")
    result.load = "kexec_load, kexec_file_load, kdump-config"
    result.events = 2 * len(kdump.dimms(machine))
    result.reloads = kdump.reloads_begun(machine)
    result.unprotected_ms = round(sampled.unprotected * 1000, 1)
    result.verdict = f"{count} kills, {sum(kills)} without an image loaded: 0 left the machine unprotected"


def prepare(machine: Machine, way: str) -> None:
    method, command = WAYS[way]
    machine.write_file("/etc/kdumphpd.toml.d/kills.toml", CONFIG.format(method=method))
    machine.run(command or TALKING)
