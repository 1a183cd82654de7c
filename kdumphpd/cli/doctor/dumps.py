# SPDX-License-Identifier: GPL-2.0-or-later
"""Has this machine ever shown that a dump works? The last one that lies in /var/crash."""

import re
import time
from collections.abc import Iterable

from kdumphpd.cli.doctor.finding import Finding, ok, warning
from kdumphpd.cli.doctor.probe import Probe

NAME = "last dump"
FOLDER = "var/crash"

# kdump-tools: 202611261530; kdump-utils: 127.0.0.1-2026-11-26-15:30:00; kdump: 2026-11-26-15:30.
DATED = re.compile(r"\d{12}|.*\d{4}-\d\d-\d\d-\d\d:\d\d(:\d\d)?")
WHOLE = ("dump.*", "vmcore", "vmcore.*")
PARTIAL = ("dump-incomplete*", "*-incomplete", "vmcore-incomplete")

TEST = "on a machine that may go down: echo c > /proc/sysrq-trigger"


def check(probe: Probe) -> Iterable[Finding]:
    folders = [path for path in probe.glob(f"{FOLDER}/*") if DATED.fullmatch(path.name) and path.is_dir()]
    if not folders:
        yield warning(NAME, f"/{FOLDER} has none", "nobody has seen a dump of this machine yet", TEST)
        return
    last = max(folders, key=lambda path: path.stat().st_mtime)
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(last.stat().st_mtime))
    name = f"/{FOLDER}/{last.name}"
    if any(any(last.glob(pattern)) for pattern in PARTIAL):
        yield warning(
            NAME, f"{name} of {when} is incomplete", "the capture kernel did not finish", "look at its dmesg"
        )
    elif any(any(last.glob(pattern)) for pattern in WHOLE):
        yield ok(NAME, f"{name} of {when}")
    else:
        yield warning(NAME, f"{name} of {when} holds no dump", "saving it failed", "look at its dmesg")
