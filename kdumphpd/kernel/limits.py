# SPDX-License-Identifier: GPL-2.0-or-later
"""What this kernel refuses to load.

Source: Documentation/admin-guide/sysctl/kernel.rst, kexec_load_disabled and kexec_load_limit_panic;
security/lockdown/lockdown.c.
"""

from dataclasses import dataclass
from pathlib import Path

from kdumphpd.sysfs import read_attribute

DISABLED = "proc/sys/kernel/kexec_load_disabled"
LIMIT = "proc/sys/kernel/kexec_load_limit_panic"  # since 6.3; every call counts, an unload and a failed one too
LOCKDOWN = "sys/kernel/security/lockdown"  # "none [integrity] confidentiality"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is permitted now."""

    refusal: str  # why nothing can be loaded, with what changes that; empty where something can
    calls: int | None  # how many more loads and unloads the kernel takes; None: any number
    locked_down: bool  # only kexec_file_load is let through


def read_limits(root: Path) -> Limits:
    """Probe. What can't be read forbids nothing: the kernel's own refusal comes later and touches nothing."""
    disabled, limit, lockdown = (_read(root, path) for path in (DISABLED, LIMIT, LOCKDOWN))
    calls = int(limit) if limit.lstrip("-").isdecimal() and int(limit) >= 0 else None
    refusal = ""
    if disabled == "1":
        refusal = (
            "kernel.kexec_load_disabled is 1, so this kernel loads no image any more; only a reboot changes that "
            "(set the sysctl after the last load, or not at all)"
        )
    elif calls == 0:
        refusal = (
            "kernel.kexec_load_limit_panic is 0, so this kernel loads no image any more; only a reboot changes that "
            "(set the limit higher, an unload and a failed load count too)"
        )
    return Limits(refusal, calls, locked_down="[" in lockdown and "[none]" not in lockdown)


def _read(root: Path, path: str) -> str:
    try:
        return read_attribute(root, path) or ""
    except OSError:
        return ""
