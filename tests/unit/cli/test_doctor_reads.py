# SPDX-License-Identifier: GPL-2.0-or-later
"""How the doctor reads what others have written: the journal's denials, and udev's rules."""

from pathlib import Path

import pytest

from kdumphpd.cli.doctor import rules, selinux
from kdumphpd.cli.doctor.finding import Level
from kdumphpd.cli.doctor.probe import MAX_TEXT, Said, run
from tests.unit.cli.test_doctor import one, probe

COMMAND = " ".join((*selinux.JOURNAL, f"--grep={selinux.DENIED}"))
OURS = 'avc:  denied  { read } for comm="kexec"'
OTHER = 'avc:  denied  { read } for comm="httpd" scontext=system_u:system_r:httpd_t:s0'


@pytest.mark.parametrize(
    ("said", "level", "words"),
    [
        (Said(0, f"{OURS}\n"), Level.WARNING, "1 denial in this boot"),
        (Said(0, f"{OURS} 2\n{OURS} 1\n"), Level.WARNING, f"2 denials in this boot, the last one: {OURS} 2"),
        (Said(0, f"{OURS}\n" * selinux.MOST), Level.WARNING, "100 denials or more"),
        (Said(0, f"{OTHER}\n" * 1000 + OURS), Level.WARNING, "1 denial"),
        (Said(0, f"{OTHER.replace('httpd_t', 'kdumphpd_helper_t')}\n"), Level.WARNING, "1 denial"),
        (Said(0, OTHER), Level.OK, "nothing of kdump's"),
        (Said(1, ""), Level.OK, "nothing of kdump's"),
        (Said(1, "Compiled without pattern matching support"), Level.SKIPPED, "without pattern matching"),
        (None, Level.SKIPPED, "not installed"),
    ],
)
def test_denials_of_kdumps_are_counted_and_no_others(
    said: Said | None, level: Level, words: str, tmp_path: Path
) -> None:
    says = {COMMAND: said} if said else {}
    finding = one(selinux.check, probe(tmp_path, files={selinux.ENFORCE: "1"}, says=says))
    assert finding.level is level
    assert words in finding.found


def test_where_selinux_is_off_nobody_asks_the_journal(tmp_path: Path) -> None:
    assert one(selinux.check, probe(tmp_path, says={COMMAND: Said(0, OURS)})).level is Level.OK


def test_the_journal_is_asked_for_the_newest_of_kdumps_own() -> None:
    assert {"--reverse", "--lines=100"} <= set(selinux.JOURNAL)


def test_what_a_command_says_is_bounded_and_not_cut_at_a_page() -> None:
    said = run(["sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x"])
    assert said is not None
    assert len(said.text) == MAX_TEXT
    assert len(run(["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x"]).text) == 100000  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("keys", "competes"),
    [
        ('SUBSYSTEM=="memory"', True),
        ('SUBSYSTEM=="memory|cpu"', True),
        ('SUBSYSTEM=="node|mem*"', True),
        ('SUBSYSTEM=="cpu*"', True),
        ('SUBSYSTEM=="[cm]*"', True),
        ('SUBSYSTEM== "memory"', True),
        ('SUBSYSTEM =="memory"', True),
        ('SUBSYSTEMS=="memory"', True),
        ('SUBSYSTEM==e"memory"', True),
        ('SUBSYSTEM==i"MEMORY"', True),
        ('KERNEL=="memory[0-9]*"', True),
        ('DEVPATH=="/devices/system/cpu/*"', True),
        ('SUBSYSTEM=="cpu", KERNEL=="cpu[0-9]*"', True),
        ('ACTION=="add", \\\n SUBSYSTEM=="cpu"', True),
        ('SUBSYSTEM!="memory", GOTO="end"\nACTION=="online"', True),
        ('SUBSYSTEM=="net"', False),
        ('SUBSYSTEM=="net", KERNEL=="*"', False),
        ('SUBSYSTEM=="cpufreq", KERNEL=="cpu*"', False),
        ('ENV{SUBSYSTEM_OF}=="memory", SUBSYSTEM=="block"', False),
        ('# SUBSYSTEM=="memory"\nACTION=="online"', False),
    ],
)
def test_a_rule_for_cpus_or_memory_is_one_however_it_is_written(keys: str, competes: bool, tmp_path: Path) -> None:
    text = f'{keys}, RUN+="/sbin/kdump-config reload"\n'
    assert rules.reloads_at_hotplug(text) is competes
    seen = probe(tmp_path, files={"usr/lib/udev/rules.d/99-site.rules": text})
    assert one(rules.check, seen).level is (Level.WARNING if competes else Level.OK)


def test_a_rule_for_memory_that_runs_something_else_does_not_compete() -> None:
    assert not rules.reloads_at_hotplug('SUBSYSTEM=="memory", ACTION=="add", ATTR{state}="online"\n')
