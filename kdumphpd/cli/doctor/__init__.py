# SPDX-License-Identifier: GPL-2.0-or-later
"""Check every precondition of a dump, and say what to do about those that are not met.

Exit status: 0 nothing fails, though there may be warnings; 1 something does. As root it sees more. It changes
nothing.
"""

import argparse
import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from kdumphpd.cli import exits, facts
from kdumphpd.cli.doctor import (
    dumps,
    helper,
    image,
    judgement,
    kernel,
    kexec,
    loader,
    memory,
    reservation,
    rules,
    selinux,
    services,
    settings,
)
from kdumphpd.cli.doctor.finding import Finding, Level, untold
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.cli.doctor.probe import run as execute
from kdumphpd.cli.facts import LOADERS, OURS, ask_systemd
from kdumphpd.cli.output import Coloured, Line, Tone, field, show


class Check(Protocol):
    """A module that checks something. NAME: what its finding is called where it can't."""

    NAME: str

    def check(self, probe: Probe) -> Iterable[Finding]: ...


CHECKS: tuple[Check, ...] = (
    judgement,
    reservation,
    image,
    loader,
    kexec,
    kernel,
    memory,
    rules,
    settings,
    services,
    helper,
    selinux,
    dumps,
)

TONES = {Level.OK: Tone.GOOD, Level.FAILURE: Tone.BAD}
LEVEL, NAME = 9, 15  # columns


def run(options: argparse.Namespace, root: Path) -> int:
    units = ask_systemd((OURS, helper.UNIT, *LOADERS))
    probe = Probe(
        root=root,
        facts=facts.read(root, units),
        is_root=os.geteuid() == 0,
        release=os.uname().release,
        execute=execute,
    )
    findings = examine(probe)
    show(options, {"findings": [dataclasses.asdict(finding) for finding in findings]}, lines(findings))
    return exits.WRONG if any(finding.level is Level.FAILURE for finding in findings) else exits.ARMED


def examine(probe: Probe) -> list[Finding]:
    """What all checks find, in their order."""
    return [finding for check in CHECKS for finding in _all_of(check, probe)]


def _all_of(check: Check, probe: Probe) -> Iterable[Finding]:
    """What one check finds, up to what it can't: that is one line, and the others are not lost for it."""
    try:
        yield from check.check(probe)
    except (OSError, ValueError, OverflowError) as error:
        yield untold(check.NAME, f"it can't be told: {error}", is_root=probe.is_root)


def lines(findings: Sequence[Finding]) -> Iterable[Line]:
    """A line a precondition, and what it means and what to do below it; totals at the end."""
    for finding in findings:
        level = Coloured(finding.level, TONES.get(finding.level, Tone.DOUBTFUL))
        yield field(level, f"{finding.name:<{NAME}}{finding.found}", width=LEVEL, indent=LEVEL + NAME)
        if finding.means:
            yield field("", f"so: {finding.means}", width=LEVEL + NAME)
        if finding.fix:
            yield field("", f"do: {finding.fix}", width=LEVEL + NAME)
    counts = Counter(finding.level for finding in findings)
    worst = next((level for level in (Level.FAILURE, Level.WARNING) if counts[level]), Level.OK)
    said = ", ".join(f"{counts[level]} {level}" for level in Level if counts[level])
    yield Coloured(said, TONES.get(worst, Tone.DOUBTFUL))
