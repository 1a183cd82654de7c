# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines in every state, as trees of files, and what systemd says of their units."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kdumphpd import state
from kdumphpd.cli.doctor import helper
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.cli.facts import LOADERS, OURS, Units
from kdumphpd.runtime import RECORD, SOCKET, STATE
from kdumphpd.state import Condition, LastBurst, LastCheck, State
from tests.unit.trees import kernel, put

START = 1_790_000_000.0  # seconds since the epoch
UNIT = "kdump-tools.service"

BURST = LastBurst(
    ended=START + 3600,
    sentence="CPU 1 added: the kernel updated the kdump image",
    events=1,
    outcome="current",
    reason="current",
    seconds=0.0,
    unprotected=0.0,
    stale=0.0,
)
CHECK = LastCheck(when=START + 3601, outcome="current", detail="", kernel_updates=True, method="kexec -c --hotplug")
ARMED = State(
    started=START,
    status="Armed; the kernel updates the image by itself",
    healthy=True,
    receiving=True,
    receive_buffer=128 << 20,
    loaded=True,
    condition=Condition.ARMED,
    since=START + 2,
    events=7,
    synthetic=3,
    overflows=2,
    bursts=5,
    checks=6,
    reloads=4,
    failures=1,
    unprotected=1.25,
    last_check=CHECK,
    last_burst=BURST,
)


def _units(ours: str = "active", loader: str = "active") -> Units:
    both = {OURS: ours, UNIT: loader}
    return {
        unit: {"ActiveState": active, "LoadState": "loaded", "UnitFileState": "enabled", "NRestarts": "0"}
        for unit, active in both.items()
    }


def for_the_doctor(probe: Probe) -> Probe:
    """With systemd's word on the helper's socket, for which the doctor alone asks."""
    units = {**(probe.facts.units or {}), helper.UNIT: {"ActiveState": "active", "UnitFileState": "disabled"}}
    put(probe.root, {SOCKET: ""})
    return dataclasses.replace(probe, facts=dataclasses.replace(probe.facts, units=units))


def _record(root: Path, **changes: Any) -> None:
    content = {
        "pending": None,
        "method": "kexec_load",
        "kernel_updates": True,
        "unprotected": 0.31,
    }
    put(root, {RECORD: json.dumps(content | changes)})


def listening(root: Path, **changes: Any) -> None:
    """What a running kdumphpd has written."""
    (root / STATE).parent.mkdir(parents=True, exist_ok=True)
    state.write(root, dataclasses.replace(ARMED, **changes))


def _machine(root: Path, **answers: Any) -> None:
    kernel(root, **answers)
    put(root, {"proc/cmdline": "BOOT_IMAGE=/vmlinuz root=/dev/vda crashkernel=192M\n"})


def armed(root: Path) -> Units:
    """The kernel updates the image."""
    _machine(root)
    _record(root)
    listening(root)
    return _units()


def armed_by_reloads(root: Path) -> Units:
    """An old kernel, and an image of the distribution's."""
    _machine(root, cpu=None, memory=None)
    _record(root, method="", kernel_updates=False)
    check = dataclasses.replace(CHECK, kernel_updates=False, method="")
    listening(root, status="Armed; the image is reloaded when CPUs or memory change", last_check=check)
    return _units()


def stale(root: Path) -> Units:
    """A reload was deferred."""
    armed_by_reloads(root)
    why = "0x140000000-0x17fffffff (1 GiB) is missing from the elfcorehdr"
    listening(
        root,
        healthy=False,
        condition=Condition.WRONG,
        since=START + 7200,
        status=f"The kdump image is out of date: {why}; next try in 12 s",
        deferred_until=START + 7212,
        last_check=dataclasses.replace(CHECK, outcome="deferred", detail=why, kernel_updates=False, method=""),
    )
    return _units()


def unprotected(root: Path) -> Units:
    """A reload took the image down and failed."""
    _machine(root, loaded="0\n")
    _record(root, pending={"units": []})
    listening(
        root,
        loaded=False,
        healthy=False,
        condition=Condition.UNPROTECTED,
        since=START + 7200,
        pending=True,
        failure="/boot/initrd.img is cut short; then kexec -s ended with 255",
        status="UNPROTECTED: no kdump image is loaded; trying again",
    )
    return _units()


def unloaded(root: Path) -> Units:
    """Somebody has unloaded it behind everybody's back."""
    _missing(root, "kdump.service is active: somebody has unloaded the image, or it loaded none")
    return _units()


def failed_at_boot(root: Path) -> Units:
    """The distribution's unit has failed."""
    _missing(root, "kdump.service has failed")
    return _units(loader="failed")


def _missing(root: Path, why: str) -> None:
    _machine(root, loaded="0\n")
    _record(root)
    listening(
        root,
        loaded=False,
        healthy=False,
        condition=Condition.UNPROTECTED,
        since=START + 7200,
        failure=why,
        status=f"UNPROTECTED: no kdump image is loaded: {why}",
        last_check=dataclasses.replace(CHECK, outcome="missing", detail=why, kernel_updates=False, method=""),
    )


def stopped(root: Path) -> Units:
    """By the operator."""
    _machine(root, loaded="0\n")
    _record(root)
    listening(
        root,
        loaded=False,
        condition=Condition.NOT_LOADED,
        since=START + 7200,
        status="No kdump image is loaded (it was unloaded, or kdump is stopped or not set up)",
    )
    return _units(loader="inactive")


def no_crashkernel(root: Path) -> Units:
    """Nothing is reserved."""
    stopped(root)
    put(root, {"proc/cmdline": "BOOT_IMAGE=/vmlinuz root=/dev/vda\n"})
    return _units(loader="inactive")


def down(root: Path) -> Units:
    """kdumphpd has died; an image is loaded."""
    _machine(root)
    _record(root)
    return _units(ours="failed")


def down_and_unloaded(root: Path) -> Units:
    """kdumphpd has died, and the image is gone."""
    _machine(root, loaded="0\n")
    return _units(ours="failed")


def deaf(root: Path) -> Units:
    """No uevents can be received."""
    armed(root)
    status = "Uevents cannot be received; the kdump image may become out of date unnoticed"
    listening(root, healthy=False, receiving=False, condition=Condition.WRONG, status=status)
    return _units()


def starting(root: Path) -> Units:
    """Nobody has answered yet."""
    _machine(root)
    listening(
        root,
        checks=0,
        asking=True,
        condition=Condition.CHECKING,
        status="Checking the kdump image",
        last_check=None,
        last_burst=None,
    )
    return _units()


def fadump(root: Path) -> Units:
    """Firmware-assisted dump."""
    armed(root)
    put(root, {f"sys/kernel/fadump/{name}": "1\n" for name in ("enabled", "registered", "hotplug_ready")})
    return _units()


def hostile(root: Path) -> Units:
    """A listener that was taken over writes what it may."""
    _machine(root)
    bad = "\x1b]0;owned\x07\r\n\u202e"
    listening(
        root,
        status=bad,
        started=-1e15,
        since=1e15,
        failure=bad,
        events=(1 << 64) - 1,
        unprotected=9e15,
        last_check=dataclasses.replace(CHECK, when=9e15, outcome=bad, detail=bad),
        last_burst=dataclasses.replace(BURST, ended=1e15, sentence=bad, stale=9e15),
    )
    return _units()


STATES: Mapping[str, Callable[[Path], Units]] = {
    maker.__name__.replace("_", "-"): maker
    for maker in (
        armed,
        armed_by_reloads,
        stale,
        unprotected,
        unloaded,
        failed_at_boot,
        stopped,
        no_crashkernel,
        down,
        down_and_unloaded,
        deaf,
        starting,
        fadump,
        hostile,
    )
}

assert UNIT in LOADERS
