# SPDX-License-Identifier: GPL-2.0-or-later
"""Has SELinux denied anything to kdump or to kdumphpd in this boot?"""

import re
from collections.abc import Iterable

from kdumphpd.cli.doctor.finding import Finding, ok, skipped, warning
from kdumphpd.cli.doctor.probe import Probe

NAME = "SELinux"
ENFORCE = "sys/fs/selinux/enforce"
DENIED = re.compile(r"avc: +denied .*comm=\"(?:kdump|kexec|helper|mkdumprd)")


def check(probe: Probe) -> Iterable[Finding]:
    mode = probe.text(ENFORCE)
    if mode is None:
        yield ok(NAME, "it is off")
        return
    if not probe.is_root:
        yield skipped(NAME, "denials are for root to see", "run it as root")
        return
    said = probe.run("journalctl", "--boot", "--quiet", "--no-pager", "--output=cat", "--grep=avc: +denied")
    lines = [line for line in (said.text if said else "").splitlines() if DENIED.search(line)]
    if not lines:
        yield ok(
            NAME, f"{'enforcing' if mode == '1' else 'permissive'}, and nothing of kdump's was denied in this boot"
        )
        return
    yield warning(
        NAME,
        f"{len(lines)} denials in this boot, the last one: {lines[-1][:200]}",
        "a load or a recording may have failed for it" if mode == "1" else "in enforcing mode a load might fail",
        "ausearch -m avc -ts boot | audit2why",
    )
