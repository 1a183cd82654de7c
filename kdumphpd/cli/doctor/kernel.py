# SPDX-License-Identifier: GPL-2.0-or-later
"""Does the kernel let anybody load an image, and which one?"""

from collections.abc import Iterable

from kdumphpd.cli.doctor.finding import Finding, failure, ok, warning
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.kernel.limits import DISABLED, LIMIT, LOCKDOWN

NAME = "kernel"

# Attributes (4 bytes), then the value. Source: UEFI specification, 3.3 Globally Defined Variables.
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def check(probe: Probe) -> Iterable[Finding]:
    for path in (DISABLED, LIMIT):
        probe.text(path)  # what can't be read is no limit in the facts
    limits = probe.facts.limits
    if probe.facts.by_fadump:
        yield ok(NAME, "fadump is registered without kexec, so what limits kexec does not matter")
    elif limits.refusal:
        yield failure(NAME, limits.refusal, "an image that goes out of date stays so", "reboot")
    elif limits.calls is not None:
        yield warning(
            NAME,
            f"kernel.kexec_load_limit_panic lets {limits.calls} more loads and unloads through",
            "after those the image can't be reloaded before a reboot",
            "set it higher, or not at all, and reboot",
        )
    else:
        yield ok(NAME, "it loads images (no kexec_load_disabled, no limit)")
    yield _lockdown(probe, locked_down=limits.locked_down)


def _lockdown(probe: Probe, *, locked_down: bool) -> Finding:
    name = "lockdown"
    secure = "Secure Boot is on" if _secure_boot(probe) else "no Secure Boot"
    level = probe.text(LOCKDOWN)
    if not locked_down:
        return ok(name, f"none; {secure}" if level else f"this kernel has none; {secure}")
    if "[confidentiality]" in (level or ""):
        return warning(
            name,
            f"confidentiality; {secure}",
            "the image can't be read, and only kexec_file_load with a signed kernel is let through",
            "boot with lockdown=integrity, which is enough for Secure Boot",
        )
    return ok(name, f"integrity; {secure}: only kexec_file_load with a signed kernel is let through")


def _secure_boot(probe: Probe) -> bool:
    try:
        return (probe.root / SECURE_BOOT).read_bytes()[4:5] == b"\1"
    except OSError:
        return False
