# SPDX-License-Identifier: GPL-2.0-or-later
"""Does a udev rule of somebody else's reload the image beside kdumphpd?"""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from kdumphpd.cli.doctor.finding import Finding, for_root, ok, warning
from kdumphpd.cli.doctor.probe import Probe

NAME = "udev rules"

# The first folder that has a name wins, udev(7).
ADMIN, RUNTIME = "etc/udev/rules.d", "run/udev/rules.d"
FOLDERS = (ADMIN, RUNTIME, "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d")
OURS = "usr/lib/kdumphpd/udev"
COPIED = "70-kdump.rules"  # openSUSE's load.sh copies it to /run, and kdumphpd removes the copy

# KEY OPERATOR "VALUE", or e"…" with escapes, or i"…" in any case; white space may stand around the operator.
WORD = re.compile(r'(\w+)(?:\{[^}]*\})?\s*(==|!=|[-+:]?=)\s*([ei]*)"((?:[^"\\]|\\.)*)"')

# Keys that choose devices, and what CPUs and memory blocks have there. A value is patterns with "|" between.
CPUS_AND_MEMORY = {
    "SUBSYSTEM": ("cpu", "memory"),
    "KERNEL": ("cpu0", "cpu1", "cpu10", "memory0", "memory1", "memory10"),
    "DEVPATH": ("/devices/system/cpu/cpu1", "/devices/system/memory/memory1"),
}
CPUS_AND_MEMORY |= {f"{key}S": values for key, values in CPUS_AND_MEMORY.items() if key != "DEVPATH"}

RELOAD = re.compile(r"kdump|kexec", re.IGNORECASE)


def check(probe: Probe) -> Iterable[Finding]:
    competing, unread = _look(probe)
    if not competing and unread:
        yield for_root(NAME, f"what is in {', '.join(unread)} is for root to see")
    elif not competing:
        yield ok(NAME, "none of somebody else's reloads the image at hotplug")
    elif not probe.facts.runs:
        named = ", ".join(competing)
        yield ok(NAME, f"{named} reloads the image at hotplug, for kdumphpd does not run")
    else:
        yield warning(
            NAME,
            f"{', '.join(competing)} reloads the image at hotplug, beside kdumphpd",
            "every event unloads and loads the image once more",
            _fix(probe, competing),
        )


def _fix(probe: Probe, competing: list[str]) -> str:
    """kdumphpd masks the distributions' own rules while it runs: in /run, where it overwrites nobody's file."""
    ours = {path.name for path in probe.listed(OURS)}
    commands = []
    for path in competing:
        folder, _, name = path.rpartition("/")
        if folder == f"/{ADMIN}":
            commands.append(f"remove {path}, for /etc wins over kdumphpd's mask")
        elif name == COPIED or (name in ours and folder != f"/{RUNTIME}"):
            commands.append("systemctl restart kdumphpd, which masks it again")
        elif name in ours:
            commands.append(f"remove {path}; systemctl restart kdumphpd")
        else:
            commands.append(f"ln -s /dev/null /{ADMIN}/{name}")
    return "; ".join([*dict.fromkeys(commands), "udevadm control --reload"])


def _look(probe: Probe) -> tuple[list[str], list[str]]:
    """The paths of such rules that udev goes by, and of the rules and folders of them that can't be read."""
    competing, unread = [], []
    seen: set[str] = set()
    for folder in FOLDERS:
        try:
            found = [path for path in probe.listed(folder) if path.suffix == ".rules" and path.name not in seen]
        except PermissionError:
            unread.append(f"/{folder}")
            continue
        for path in found:
            seen.add(path.name)
            name = f"{folder}/{path.name}"
            try:
                masked = path.is_symlink() and OURS in str(path.readlink())
                if not masked and reloads_at_hotplug(probe.text(name) or ""):
                    competing.append(f"/{name}")
            except PermissionError:
                unread.append(f"/{name}")
    return sorted(competing), sorted(unread)


def reloads_at_hotplug(text: str) -> bool:
    """Whether one of the rules chooses CPUs or memory blocks, and one names something of kdump's. Pure."""
    lines = [line for line in text.replace("\\\n", "").splitlines() if not line.lstrip().startswith("#")]
    return any(map(_is_for_hotplug, lines)) and any(map(RELOAD.search, lines))


def _is_for_hotplug(line: str) -> bool:
    """Whether every key that chooses devices chooses CPUs or memory; what excludes these has a GOTO past a rule."""
    keys = [
        (operator, any(fnmatchcase(value, pattern) for value in CPUS_AND_MEMORY[key] for pattern in patterns))
        for key, operator, prefix, text in WORD.findall(line)
        if key in CPUS_AND_MEMORY
        for patterns in [(text.lower() if "i" in prefix else text).split("|")]
    ]
    return any(chosen for _, chosen in keys) and all(chosen for operator, chosen in keys if operator == "==")
