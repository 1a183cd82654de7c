# SPDX-License-Identifier: GPL-2.0-or-later
"""What the doctor and status advise does what it is given for: on files, in the state that a unit is in."""

import dataclasses
import subprocess
from pathlib import Path

import pytest

from kdumphpd.cli import advice, facts
from kdumphpd.cli.doctor import helper, image, judgement, loader, reservation, rules, services
from kdumphpd.cli.doctor.finding import Level
from kdumphpd.cli.doctor.probe import PROGRAMS, Probe, Said
from kdumphpd.cli.facts import OURS
from kdumphpd.cli.health import judge
from kdumphpd.config import LoaderChoice
from kdumphpd.image.errors import Cause
from kdumphpd.image.verdict import UNSAFE, ImageState, Verdict
from kdumphpd.runtime import SOCKET
from kdumphpd.use_kdump import DEFAULTS
from tests.unit.cli.machines import STATES, UNIT
from tests.unit.cli.test_doctor import RULE, one, probe

STALE = Verdict(ImageState.STALE, cpus_without_note=(1,))
LACKING = Verdict(ImageState.UNSAFE, unsafe=UNSAFE.format("acpi_no_memhotplug"))


def with_unit(seen: Probe, unit: str, **state: str) -> Probe:
    """The same machine, with a unit in another state."""
    units = {**(seen.facts.units or {}), unit: {"LoadState": "loaded", **state}}
    return dataclasses.replace(seen, facts=dataclasses.replace(seen.facts, units=units))


def with_verdict(monkeypatch: pytest.MonkeyPatch, verdict: Verdict) -> None:
    monkeypatch.setattr(image, "examine", lambda *_: (None, verdict))


# --- what status says, the doctor says --------------------------------------------------------------------


@pytest.mark.parametrize("name", STATES)
def test_the_doctor_says_what_status_says(name: str, tmp_path: Path) -> None:
    seen = probe(tmp_path, name)
    health, finding = judge(seen.facts), one(judgement.check, seen)
    assert health.why in finding.found
    assert health.hint in finding.fix
    assert (finding.level is Level.FAILURE) == (health.exit == 1)
    assert (finding.level is Level.OK) <= (health.exit == 0)


def test_a_helper_that_does_not_answer_is_no_health(tmp_path: Path) -> None:
    seen = probe(tmp_path)
    assert seen.facts.listener is not None
    failure = "cannot talk to the helper"
    for healthy, level in ((False, Level.FAILURE), (True, Level.WARNING)):
        listener = dataclasses.replace(seen.facts.listener, healthy=healthy, failure=failure)
        finding = one(
            judgement.check, dataclasses.replace(seen, facts=dataclasses.replace(seen.facts, listener=listener))
        )
        assert (finding.level, failure in finding.found) == (level, True)


@pytest.mark.parametrize(
    ("state", "level", "fix"),
    [
        ({"ActiveState": "active"}, Level.OK, ""),
        (
            {"ActiveState": "failed"},
            Level.FAILURE,
            f"journalctl -b -u {helper.UNIT}; systemctl restart {helper.UNIT}",
        ),
        ({"ActiveState": "inactive"}, Level.FAILURE, f"systemctl start {helper.UNIT}"),
        (
            {"ActiveState": "inactive", "LoadState": "masked", "UnitFileState": "masked"},
            Level.FAILURE,
            f"systemctl unmask {helper.UNIT}; systemctl start {helper.UNIT}",
        ),
    ],
)
def test_the_helpers_socket_is_looked_at(state: dict[str, str], level: Level, fix: str, tmp_path: Path) -> None:
    finding = one(helper.check, with_unit(probe(tmp_path), helper.UNIT, **{"UnitFileState": "disabled", **state}))
    assert (finding.level, finding.fix) == (level, fix)


def test_a_socket_that_is_gone_or_not_installed_fails(tmp_path: Path) -> None:
    seen = probe(tmp_path)
    (tmp_path / SOCKET).unlink()
    assert one(helper.check, seen).fix == f"systemctl restart {helper.UNIT}"
    units = {unit: state for unit, state in (seen.facts.units or {}).items() if unit != helper.UNIT}
    seen = dataclasses.replace(seen, facts=dataclasses.replace(seen.facts, units=units))
    assert "not installed" in one(helper.check, seen).found


@pytest.mark.parametrize(("is_root", "fix"), [(True, ""), (False, "run it as root")])
def test_root_is_not_told_to_be_root(is_root: bool, fix: str, tmp_path: Path) -> None:
    seen = probe(tmp_path)
    (tmp_path / SOCKET).unlink()
    seen = dataclasses.replace(seen, is_root=is_root, facts=dataclasses.replace(seen.facts, units=None))
    finding = one(helper.check, seen)
    assert (finding.level, finding.fix) == (Level.SKIPPED, fix)


# --- units ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("enabled", "before"),
    [
        ("masked", "systemctl unmask kdumphpd.service; "),
        ("masked-runtime", "systemctl unmask --runtime kdumphpd.service; "),
        ("disabled", ""),
    ],
)
def test_a_masked_unit_is_unmasked_first(enabled: str, before: str, tmp_path: Path) -> None:
    masked = {OURS: {"LoadState": enabled.partition("-")[0], "ActiveState": "inactive", "UnitFileState": enabled}}
    assert advice.start(masked, OURS) == f"{before}systemctl start {OURS}"
    assert advice.restart(masked, OURS) == f"{before}systemctl restart {OURS}"
    seen = with_unit(probe(tmp_path, "down"), OURS, **masked[OURS])
    assert one(services.check, seen).fix == f"{before}systemctl enable --now {OURS}"
    assert judge(seen.facts).hint == f"{before}systemctl start {OURS}"


def test_a_masked_loader_is_unmasked_first(tmp_path: Path) -> None:
    seen = probe(tmp_path, "stopped")
    for active in ("inactive", "active"):
        masked = with_unit(seen, UNIT, LoadState="masked", ActiveState=active, UnitFileState="masked")
        assert one(loader.check, masked).fix == f"systemctl unmask {UNIT}; systemctl enable --now {UNIT}"
        assert judge(masked.facts).hint.startswith(f"systemctl unmask {UNIT}; systemctl ")


@pytest.mark.parametrize(("unit", "check"), [(OURS, services.check), (UNIT, loader.check)])
def test_what_is_enabled_for_this_boot_alone_fails(unit: str, check: object, tmp_path: Path) -> None:
    seen = with_unit(probe(tmp_path), unit, ActiveState="active", UnitFileState="enabled-runtime")
    finding = one(check, seen)  # type: ignore[arg-type]
    assert (finding.level, finding.fix) == (Level.FAILURE, f"systemctl enable --now {unit}")


def test_where_systemd_does_not_answer_no_unit_is_taken_for_missing(tmp_path: Path) -> None:
    """Its links name what runs, and nothing else."""
    seen = probe(tmp_path, "stopped")
    for running in ((OURS,), (OURS, UNIT)):
        units = {unit: {"ActiveState": "active"} for unit in running}
        linked = dataclasses.replace(seen, facts=dataclasses.replace(seen.facts, units=units))
        for check, level in ((loader.check, Level.SKIPPED), (services.check, Level.OK), (helper.check, Level.OK)):
            assert one(check, linked).level is level


# --- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "USE_KDUMP=0\n",
        "  export USE_KDUMP='0' # off\n",
        "USE_KDUMP=1\nUSE_KDUMP=0\n",
        "#USE_KDUMP=1\n",
        "# USE_KDUMP=0\n",
        "KDUMP_SYSCTL=1",
        "",
    ],
)
def test_the_command_that_switches_kdump_tools_on_does_so(text: str, tmp_path: Path) -> None:
    seen = probe(tmp_path, files={DEFAULTS: text})
    command, _, restart = one(loader.check, seen).fix.rpartition("; ")
    assert restart == "systemctl restart kdump-tools.service"
    subprocess.run(["sh", "-c", command.replace(" /etc", f" {tmp_path}/etc")], check=True)
    assert one(loader.check, seen).level is Level.OK
    told = subprocess.run(
        ["sh", "-c", f'. "{tmp_path}/{DEFAULTS}"; echo $USE_KDUMP'], capture_output=True, text=True, check=True
    )
    assert told.stdout == "1\n"


@pytest.mark.parametrize(
    ("program", "said", "fix"),
    [
        (PROGRAMS[LoaderChoice.KDUMPCTL], Said(0, "512M-:256M\n"), "grubby --update-kernel=ALL"),
        (PROGRAMS[LoaderChoice.SUSE], Said(0, "Low: 72\nHigh: 188\n"), "kdumptool commandline -u"),
    ],
)
def test_more_is_reserved_by_the_distributions_own_means(program: str, said: Said, fix: str, tmp_path: Path) -> None:
    says = {"kdumpctl get-default-crashkernel kdump": said, "kdumptool calibrate": said}
    seen = probe(tmp_path, files={program: ""}, says=says)
    (tmp_path / PROGRAMS[LoaderChoice.KDUMP_TOOLS]).unlink()
    finding = one(reservation.check, seen)
    assert finding.level is Level.WARNING
    assert finding.fix.startswith(fix)
    none = dataclasses.replace(seen, facts=dataclasses.replace(seen.facts, crashkernel=False))
    assert "reboot" in one(reservation.check, none).fix


def test_a_sites_own_kernel_is_a_loader(tmp_path: Path) -> None:
    seen = probe(tmp_path, files={"etc/kdumphpd.toml": '[reload.kexec]\nkernel = "/boot/vmlinuz"\n'})
    (tmp_path / "usr/sbin/kdump-config").unlink()
    assert one(loader.check, seen).level is Level.OK


# --- the image --------------------------------------------------------------------------------------------


def test_a_deferred_reload_is_asked_for_as_status_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_verdict(monkeypatch, STALE)
    assert one(image.check, probe(tmp_path / "a", "stale"), "image").fix == "kdumphpctl rearm --now"
    assert one(image.check, probe(tmp_path / "b"), "image").fix == "kdumphpctl rearm"


def test_an_image_of_which_nothing_can_be_told_is_not_taken_for_none(tmp_path: Path) -> None:
    seen = probe(tmp_path)
    seen = dataclasses.replace(seen, facts=dataclasses.replace(seen.facts, loaded=None, problem="no"))
    assert "not known" in one(image.check, seen).means


def test_where_the_kernel_loads_nothing_no_reload_is_advised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_verdict(monkeypatch, STALE)
    seen = probe(tmp_path, "armed-by-reloads", files={"proc/sys/kernel/kexec_load_disabled": "1\n"})
    assert one(image.check, seen, "image").fix.startswith("reboot")


@pytest.mark.parametrize(
    ("append", "names_the_key"),
    [("", True), ("quiet", True), ("auto", False), ("acpi_no_memhotplug", False)],
)
def test_an_unsafe_image_that_no_reload_changes_names_the_key(
    append: str, names_the_key: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_verdict(monkeypatch, LACKING)
    seen = probe(tmp_path, files={"etc/kdumphpd.toml": f'[reload]\nappend = "{append}"\n'})
    fix = one(image.check, seen, "image").fix
    assert ('reload.append = "auto"' in fix) == names_the_key
    assert fix.endswith("kdumphpctl rearm")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("make_updatable = false", "set reload.make_updatable = true"),
        ('syscall = "load"', 'set reload.syscall = "auto"'),
        ("", "install kexec-tools 2.0.29 or newer"),
    ],
)
def test_what_keeps_the_kernel_from_updating_the_image_is_named(text: str, words: str, tmp_path: Path) -> None:
    seen = probe(tmp_path, files={"etc/kdumphpd.toml": f"[reload]\n{text}\n"})
    load = facts.LastLoad(kernel_updates=False)
    seen = dataclasses.replace(seen, facts=dataclasses.replace(seen.facts, last_load=load))
    fix = one(image.check, seen, "updates").fix
    assert words in fix
    assert "kdumphpctl rearm --now" in fix


def test_every_reason_why_an_image_cannot_be_read_has_a_remedy_or_none_is_known() -> None:
    assert set(image.REMEDIES) <= set(Cause)


# --- udev rules -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("etc/udev/rules.d/99-site.rules", "remove /etc/udev/rules.d/99-site.rules, for /etc wins"),
        ("usr/lib/udev/rules.d/99-site.rules", "ln -s /dev/null /etc/udev/rules.d/99-site.rules; udevadm"),
        ("usr/lib/udev/rules.d/50-kdump-tools.rules", "systemctl restart kdumphpd, which masks it again"),
        ("run/udev/rules.d/70-kdump.rules", "systemctl restart kdumphpd, which masks it again"),
        ("run/udev/rules.d/98-kexec.rules", "remove /run/udev/rules.d/98-kexec.rules; systemctl restart kdumphpd"),
    ],
)
def test_a_competing_rule_is_got_rid_of_where_it_lies(path: str, fix: str, tmp_path: Path) -> None:
    ours = {f"{rules.OURS}/{name}": "" for name in ("50-kdump-tools.rules", "98-kexec.rules")}
    assert one(rules.check, probe(tmp_path, files={path: RULE, **ours})).fix.startswith(fix)
