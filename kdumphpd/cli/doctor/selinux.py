# SPDX-License-Identifier: GPL-2.0-or-later
"""Has SELinux denied anything to kdump or to kdumphpd in this boot?"""

import re
from collections.abc import Iterable

from kdumphpd.cli.doctor.finding import Finding, for_root, ok, skipped, warning
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.cli.words import count

NAME = "SELinux"
ENFORCE = "sys/fs/selinux/enforce"
LOOK = "ausearch -m avc -ts boot | audit2why"

# What kdump, kexec and kdumphpd are called, and the domains of the policies for them.
DENIED = r"avc: +denied .*(comm=\"(kdump|kexec|helper|mkdumprd)|scontext=[^ ]*:kdump)"
MOST = 100  # denials, the newest first

JOURNAL = ("journalctl", "--boot", "--quiet", "--no-pager", "--output=cat", "--reverse", f"--lines={MOST}")


def check(probe: Probe) -> Iterable[Finding]:
    mode = probe.text(ENFORCE)
    if mode is None:
        yield ok(NAME, "it is off")
        return
    if not probe.is_root:
        yield for_root(NAME, "denials are for root to see")
        return
    said = probe.run(*JOURNAL, f"--grep={DENIED}")
    text = said.text if said else "journalctl is not installed"
    found = [line for line in text.splitlines() if re.search(DENIED, line)]
    if not found and (said is None or (said.status != 0 and text.strip())):  # no entry is 1 without a word
        yield skipped(NAME, f"denials are not known: {text.strip()[:200]}", LOOK)
        return
    if not found:
        yield ok(
            NAME,
            f"{'enforcing' if mode == '1' else 'permissive'}, and by the journal nothing of kdump's was denied in "
            "this boot",
        )
        return
    denials = f"{count(len(found), 'denial')}{' or more' * (len(found) >= MOST)}"
    yield warning(
        NAME,
        f"{denials} in this boot, the last one: {found[0][:200]}",
        "a load or a recording may have failed for it" if mode == "1" else "in enforcing mode a load might fail",
        LOOK,
    )
