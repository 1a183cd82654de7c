# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for operators that do what they are given for, in the state that the unit is in. Pure.

systemd refuses to start, restart or enable a unit that is masked (systemctl(1), mask).
"""

from kdumphpd.cli.facts import Units


def start(units: Units | None, unit: str) -> str:
    """Start it."""
    return _of_units(units, unit, f"systemctl start {unit}")


def restart(units: Units | None, unit: str) -> str:
    """Restart it, or start it where it does not run."""
    return _of_units(units, unit, f"systemctl restart {unit}")


def enable(units: Units | None, unit: str) -> str:
    """Have it started at boot, and now."""
    return _of_units(units, unit, f"systemctl enable --now {unit}")


def is_masked(units: Units | None, unit: str) -> bool:
    """By its file, or by what systemd has loaded of it: `systemctl mask` reloads nothing that runs."""
    state = (units or {}).get(unit, {})
    return state.get("LoadState") == "masked" or state.get("UnitFileState", "").startswith("masked")


def _of_units(units: Units | None, unit: str, command: str) -> str:
    if not is_masked(units, unit):
        return command
    # Without --runtime a mask below /run stays.
    runtime = (units or {}).get(unit, {}).get("UnitFileState") == "masked-runtime"
    return f"systemctl unmask {'--runtime ' if runtime else ''}{unit}; {command}"
