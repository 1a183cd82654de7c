# SPDX-License-Identifier: GPL-2.0-or-later
"""Every check of the doctor, on a tree that meets its precondition and on one that does not."""

import dataclasses
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd.cli import doctor, facts
from kdumphpd.cli.doctor import (
    dumps,
    image,
    kernel,
    kexec,
    loader,
    memory,
    reservation,
    rules,
    services,
    settings,
)
from kdumphpd.cli.doctor.finding import Finding, Level
from kdumphpd.cli.doctor.probe import Probe, Said, run
from kdumphpd.use_kdump import DEFAULTS
from tests.unit.cli import machines
from tests.unit.cli.machines import STATES
from tests.unit.trees import put

IOMEM = "00001000-3fffffff : System RAM\n  30000000-3bffffff : Crash kernel\n100000000-13fffffff : System RAM\n"
RULE = 'SUBSYSTEM=="memory", ACTION=="online", RUN+="/usr/sbin/kdump-config try-reload"\n'


def probe(
    root: Path, state: str = "armed", files: dict[str, str] | None = None, says: dict[str, Said] | None = None
) -> Probe:
    """A machine in one of the states, seen by root, with more files and with what commands say."""
    units = STATES[state](root)
    put(root, {"proc/iomem": IOMEM, "usr/sbin/kdump-config": "", "etc/default/kdump-tools": "USE_KDUMP=1\n"})
    put(root, files or {})
    answers = says or {}
    found = replace(facts.read(root, units), machine="x86_64")
    return machines.for_the_doctor(Probe(root, found, True, "6.12", lambda words: answers.get(" ".join(words))))


def one(check: Callable[[Probe], Iterable[Finding]], seen: Probe, name: str = "") -> Finding:
    """The one finding of that name."""
    (finding,) = [finding for finding in check(seen) if not name or finding.name == name]
    return finding


def test_a_reservation_is_shown_with_its_size(tmp_path: Path) -> None:
    assert one(reservation.check, probe(tmp_path)).found.startswith("192 MiB is reserved; no estimator")


def test_no_reservation_fails_with_the_distributions_way_to_one(tmp_path: Path) -> None:
    finding = one(reservation.check, probe(tmp_path, "no-crashkernel"))
    assert finding.level is Level.FAILURE
    assert "update-grub" in finding.fix


def test_nothing_reserved_although_it_was_asked_for_fails(tmp_path: Path) -> None:
    seen = probe(tmp_path, files={"proc/iomem": "00001000-3fffffff : System RAM\n"})
    assert one(reservation.check, seen).level is Level.FAILURE


@pytest.mark.parametrize(
    ("command", "text", "level"),
    [
        ("kdumpctl get-default-crashkernel kdump", "1G-64G:256M,64G-:512M\n", Level.WARNING),
        ("kdumpctl get-default-crashkernel kdump", "512M-4G:192M,4G-:256M\n", Level.OK),
        ("kdumpctl get-default-crashkernel kdump", "64G-:256M\n", Level.OK),
        ("kdumptool calibrate", "Total: 4096\nLow: 72\nHigh: 188\nMinLow: 72\nMaxLow: 3000\n", Level.WARNING),
        ("kdumptool calibrate", "Low: 72\nHigh: 100\n", Level.OK),
        ("makedumpfile --mem-usage /proc/kcore", "Page size: 4096\nTotal pages on system: 262144\n", Level.OK),
    ],
)
def test_the_distributions_own_estimator_is_asked_and_named(
    command: str, text: str, level: Level, tmp_path: Path
) -> None:
    finding = one(reservation.check, probe(tmp_path, says={command: Said(0, text)}))
    assert finding.level is level
    assert f"`{command.removesuffix(' /proc/kcore').removesuffix(' kdump')}`" in finding.found


def test_a_default_by_the_size_of_memory_is_the_one_that_the_kernel_would_take() -> None:
    ranges = "2G-64G:256M,64G-:512M"
    assert reservation.by_memory(ranges, (64 << 30) - (100 << 20)) == 512 << 20  # firmware has kept 100 MiB
    assert reservation.by_memory(ranges, (64 << 30) - (200 << 20)) == 256 << 20
    assert reservation.by_memory(ranges, 1 << 30) == 0
    assert reservation.by_memory("Usage: kdumpctl {estimate|start|stop}", 1 << 30) is None


def test_an_image_that_is_missing_against_the_operators_wish_fails_and_one_that_was_stopped_warns(
    tmp_path: Path,
) -> None:
    assert one(image.check, probe(tmp_path, "unloaded")).level is Level.FAILURE
    assert one(image.check, probe(tmp_path, "stopped")).level is Level.WARNING


def test_an_image_that_cannot_be_read_warns_with_the_reason(tmp_path: Path) -> None:
    finding = one(image.check, probe(tmp_path), "image")
    assert finding.level is Level.WARNING
    assert "cannot be read" in finding.found


def test_an_image_that_the_kernel_may_not_touch_warns(tmp_path: Path) -> None:
    seen = probe(tmp_path)
    load = dataclasses.replace(seen.facts.last_load or facts.LastLoad(), kernel_updates=False)
    seen = dataclasses.replace(seen, facts=dataclasses.replace(seen.facts, last_load=load))
    assert one(image.check, seen, "updates").level is Level.WARNING


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("USE_KDUMP=1\n", Level.OK),
        ("#USE_KDUMP=1\n", Level.FAILURE),
        ("USE_KDUMP=1\nUSE_KDUMP=0\n", Level.FAILURE),
        ("USE_KDUMP='1'\n", Level.OK),
        ("", Level.FAILURE),
    ],
)
def test_kdump_tools_is_switched_on_by_its_last_word(text: str, level: Level, tmp_path: Path) -> None:
    assert one(loader.check, probe(tmp_path, files={DEFAULTS: text})).level is level


def test_a_loader_that_failed_is_disabled_or_missing_fails(tmp_path: Path) -> None:
    assert one(loader.check, probe(tmp_path, "failed-at-boot")).level is Level.FAILURE
    seen = probe(tmp_path)
    units = {machines.UNIT: {"UnitFileState": "disabled", "ActiveState": "inactive"}}
    disabled = dataclasses.replace(seen, facts=dataclasses.replace(seen.facts, units=units))
    assert one(loader.check, disabled).fix == f"systemctl enable --now {machines.UNIT}"
    (tmp_path / "usr/sbin/kdump-config").unlink()
    assert one(loader.check, seen).level is Level.FAILURE


def test_a_unit_that_only_looks_after_the_command_line_is_no_loader(tmp_path: Path) -> None:
    """openSUSE's kdump-commandline.service runs `kdumptool commandline`; installers enable it too."""
    seen = probe(tmp_path)
    units = {
        "kdump-commandline.service": {"UnitFileState": "enabled", "ActiveState": "inactive"},
        "kdump.service": {"UnitFileState": "disabled", "ActiveState": "inactive"},
    }
    disabled = dataclasses.replace(seen, facts=dataclasses.replace(seen.facts, units=units))
    assert one(loader.check, disabled).fix == "systemctl enable --now kdump.service"


def test_a_kexec_that_does_not_know_hotplug_warns_where_the_kernel_could_use_it(tmp_path: Path) -> None:
    says = {"kexec --help": Said(0, "no such option"), "kexec --version": Said(0, "kexec-tools 2.0.25")}
    assert one(kexec.check, probe(tmp_path, says=says)).level is Level.WARNING
    assert one(kexec.check, probe(tmp_path)).level is Level.FAILURE  # not installed


@pytest.mark.parametrize("state", ["armed-by-reloads"])
def test_an_old_kexec_is_enough_for_an_old_kernel(state: str, tmp_path: Path) -> None:
    assert one(kexec.check, probe(tmp_path, state, says={"kexec --help": Said(0, "")})).level is Level.OK


@pytest.mark.parametrize(
    ("path", "text", "name", "level"),
    [
        ("proc/sys/kernel/kexec_load_disabled", "1\n", "kernel", Level.FAILURE),
        ("proc/sys/kernel/kexec_load_limit_panic", "0\n", "kernel", Level.FAILURE),
        ("proc/sys/kernel/kexec_load_limit_panic", "3\n", "kernel", Level.WARNING),
        ("proc/sys/kernel/kexec_load_limit_panic", "-1\n", "kernel", Level.OK),
        ("sys/kernel/security/lockdown", "none integrity [confidentiality]\n", "lockdown", Level.WARNING),
        ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n", "lockdown", Level.OK),
        ("sys/kernel/security/lockdown", "[none] integrity confidentiality\n", "lockdown", Level.OK),
        (kernel.SECURE_BOOT, "\6\0\0\0\1", "lockdown", Level.OK),
    ],
)
def test_what_the_kernel_refuses(path: str, text: str, name: str, level: Level, tmp_path: Path) -> None:
    finding = one(kernel.check, probe(tmp_path, files={path: text}), name)
    assert finding.level is level
    assert ("Secure Boot is on" in finding.found) == (path == kernel.SECURE_BOOT)


@pytest.mark.parametrize(("most", "level"), [(8192, Level.OK), (2, Level.WARNING), (1, Level.FAILURE)])
def test_room_for_memory_ranges(most: int, level: Level, tmp_path: Path) -> None:
    files = {"boot/config-6.12": f"CONFIG_CRASH_HOTPLUG=y\nCONFIG_CRASH_MAX_MEMORY_RANGES={most}\n"}
    assert one(memory.check, probe(tmp_path, files=files), "ranges").level is level


@pytest.mark.parametrize(("policy", "level"), [("offline", Level.WARNING), ("online_movable", Level.OK)])
def test_hot_added_memory_that_stays_offline_warns(policy: str, level: Level, tmp_path: Path) -> None:
    assert one(memory.check, probe(tmp_path, files={memory.AUTO_ONLINE: policy}), "hot-add").level is level


def test_a_rule_in_etc_competes_and_one_that_is_masked_does_not(tmp_path: Path) -> None:
    seen = probe(tmp_path, files={"usr/lib/udev/rules.d/50-kdump-tools.rules": RULE})
    assert one(rules.check, seen).level is Level.WARNING
    mask = tmp_path / "run/udev/rules.d/50-kdump-tools.rules"
    mask.parent.mkdir(parents=True)
    mask.symlink_to("/usr/lib/kdumphpd/udev/50-kdump-tools.rules")
    assert one(rules.check, seen).level is Level.OK
    put(tmp_path, {"etc/udev/rules.d/50-kdump-tools.rules": RULE})
    assert one(rules.check, seen).fix.startswith("remove /etc")
    put(tmp_path, {"etc/udev/rules.d/50-kdump-tools.rules": f"# {RULE}"})
    assert one(rules.check, seen).level is Level.OK


def test_a_drop_in_that_is_wrong_fails(tmp_path: Path) -> None:
    assert one(settings.check, probe(tmp_path)).level is Level.OK
    seen = probe(tmp_path, files={"etc/kdumphpd.toml.d/a.toml": "[events]\nsettle_time = 0\n"})
    finding = one(settings.check, seen)
    assert finding.level is Level.FAILURE
    assert "settle_time" in finding.found


@pytest.mark.parametrize(("state", "level"), [("armed", Level.OK), ("down", Level.FAILURE), ("deaf", Level.FAILURE)])
def test_kdumphpd_itself(state: str, level: Level, tmp_path: Path) -> None:
    assert one(services.check, probe(tmp_path, state)).level is level


@pytest.mark.parametrize(
    ("file", "level"),
    [
        ("202611261530/dump.202611261530", Level.OK),
        ("127.0.0.1-2026-11-26-15:30:00/vmcore", Level.OK),
        ("202611261530/dump-incomplete", Level.WARNING),
        ("202611261530/dmesg.202611261530", Level.WARNING),
        ("kexec_cmd", Level.WARNING),
    ],
)
def test_the_last_dump(file: str, level: Level, tmp_path: Path) -> None:
    assert one(dumps.check, probe(tmp_path, files={f"var/crash/{file}": ""})).level is level


def test_what_fails_says_what_it_means_and_what_to_do(tmp_path: Path) -> None:
    for name in STATES:
        for finding in doctor.examine(probe(tmp_path / name, name)):
            assert finding.level is not Level.WARNING or finding.means
            assert finding.level is not Level.FAILURE or (finding.means and finding.fix)


def test_a_fifo_and_a_command_that_is_missing_hold_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert probe(tmp_path).text("fifo") == ""
    assert run(["/nonexistent"]) is None
    assert run(["sh", "-c", "echo out; echo err >&2; exit 3"]) == Said(3, "out\nerr\n")


def test_a_setting_of_the_kernels_is_read_whatever_it_costs_to_ask_for_much(tmp_path: Path) -> None:
    """The kernel refuses to read more than 4 MiB of a file of /proc/sys at once."""
    here = Probe(Path("/"), facts.read(tmp_path, {}), False, "6.12", lambda _: None)
    assert here.text("proc/sys/kernel/ostype") == "Linux"
    put(tmp_path, {"much": "x" * 100_000})
    assert replace(here, root=tmp_path).text("much") == "x" * 100_000
