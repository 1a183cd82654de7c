# SPDX-License-Identifier: GPL-2.0-or-later
"""What may not be read is skipped, and never taken for absent; no check ends the doctor."""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdumphpd.cli import doctor
from kdumphpd.cli.doctor import dumps, kexec, loader, memory, reservation, rules, settings
from kdumphpd.cli.doctor.finding import Level
from kdumphpd.cli.doctor.probe import Probe, Said, run
from kdumphpd.use_kdump import DEFAULTS
from tests.unit.cli.test_doctor import RULE, one, probe
from tests.unit.trees import put

NOBODY = 65534


@pytest.fixture
def machine() -> Iterator[Probe]:
    """A machine as an ordinary user sees it, in a folder that everybody can reach."""
    with tempfile.TemporaryDirectory(prefix="doctor") as folder:
        Path(folder).chmod(0o755)
        yield dataclasses.replace(probe(Path(folder)), is_root=False)


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Permissions hold for whoever runs this."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(bits)
    try:
        with nobody():
            yield
    finally:
        path.chmod(before)


@pytest.mark.parametrize(
    ("path", "bits"), [("var/crash", 0o700), ("var/crash", 0o744), ("var/crash/202611261530", 0o700)]
)
def test_a_dump_that_may_not_be_seen_is_not_missing(machine: Probe, path: str, bits: int) -> None:
    put(machine.root, {"var/crash/202611261530/dump.202611261530": ""})
    if os.geteuid() != 0:
        bits &= 0o077  # whoever owns it is no other
    with mode(machine.root / path, bits):
        finding = one(dumps.check, machine)
    assert (finding.level, finding.fix) == (Level.SKIPPED, "run it as root")
    assert one(dumps.check, machine).level is Level.OK


def test_a_link_to_nothing_is_no_dump(machine: Probe) -> None:
    put(machine.root, {"var/crash/202611261530/dump.202611261530": ""})
    (machine.root / "var/crash/202611270000").symlink_to("nowhere")
    assert one(dumps.check, machine).level is Level.OK


@pytest.mark.parametrize("path", ["etc/udev/rules.d", "etc/udev/rules.d/99-site.rules"])
def test_rules_that_may_not_be_read_may_compete(machine: Probe, path: str) -> None:
    put(machine.root, {"etc/udev/rules.d/99-site.rules": RULE})
    with mode(machine.root / path, 0):
        finding = one(rules.check, machine)
    assert finding.level is Level.SKIPPED
    assert f"/{path}" in finding.found
    assert one(rules.check, machine).level is Level.WARNING


def test_a_kernels_configuration_that_may_not_be_read_says_nothing(machine: Probe) -> None:
    put(machine.root, {"boot/config-6.12": "CONFIG_CRASH_MAX_MEMORY_RANGES=8192\n"})
    with mode(machine.root / "boot", 0):
        assert one(memory.check, machine, "ranges").fix == "run it as root"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (DEFAULTS, loader.NAME),
        ("etc/kdumphpd.toml", settings.NAME),
        ("sys/devices/system/memory/auto_online_blocks", memory.NAME),
        ("proc/sys/kernel/kexec_load_disabled", "kernel"),
    ],
)
def test_whatever_may_not_be_read_is_one_line_that_says_so(machine: Probe, path: str, name: str) -> None:
    everything = len(doctor.examine(machine))
    put(machine.root, {path: "1"})
    with mode(machine.root / path, 0):
        findings = doctor.examine(machine)
    finding = next(finding for finding in findings if finding.level is Level.SKIPPED and path in finding.found)
    assert (finding.name, finding.fix) == (name, "run it as root")
    assert len(findings) >= everything - 1


def test_a_configuration_that_is_wrong_is_not_taken_for_one_that_may_not_be_read(machine: Probe) -> None:
    put(machine.root, {"etc/kdumphpd.toml.d/permissions.toml": "[events]\nsettle_time = 0\n"})
    assert one(settings.check, machine).level is Level.FAILURE


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error"), TimeoutError]
)
def test_a_command_that_does_not_run_ends_nothing(machine: Probe, error: OSError) -> None:
    def fail(_: object) -> Said | None:
        raise error

    ill = dataclasses.replace(machine, execute=fail, is_root=True)
    assert {finding.name for finding in doctor.examine(ill)} >= {check.NAME for check in doctor.CHECKS}
    assert one(reservation.check, ill).level is Level.OK
    with pytest.raises(OSError):
        list(kexec.check(ill))


def test_a_command_that_may_not_be_run_is_not_taken_for_absent(tmp_path: Path) -> None:
    put(tmp_path, {"tool": "#!/bin/sh\n"})
    with pytest.raises(PermissionError):
        run([str(tmp_path / "tool")])


def test_root_without_its_powers_does_not_see_that_nothing_is_reserved(machine: Probe) -> None:
    put(machine.root, {"proc/iomem": "00000000-00000000 : System RAM\n  00000000-00000000 : Crash kernel\n"})
    assert one(reservation.check, dataclasses.replace(machine, is_root=True)).level is Level.SKIPPED
