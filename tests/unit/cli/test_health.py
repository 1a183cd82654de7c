# SPDX-License-Identifier: GPL-2.0-or-later
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd.cli import check, exits, facts, unit
from kdumphpd.cli.check import Service, grade
from kdumphpd.cli.facts import OURS
from kdumphpd.cli.health import judge
from kdumphpd.cli.output import render
from kdumphpd.cli.unit import UNIT, Verb, decide, is_missing, is_passing
from kdumphpd.helper import record
from kdumphpd.runtime import CONDITION, RECORD, STATE
from tests.unit.cli import machines
from tests.unit.cli.machines import STATES
from tests.unit.trees import helper_folder, kernel, put

INSTALL = "install or start the distribution's kdump service"
NOW = 5000.0  # seconds of the monotonic clock

EXPECTED = {
    "armed": (exits.ARMED, Service.OK),
    "armed-by-reloads": (exits.ARMED, Service.OK),
    "stale": (exits.WRONG, Service.WARNING),
    "unprotected": (exits.WRONG, Service.CRITICAL),
    "unloaded": (exits.WRONG, Service.CRITICAL),
    "failed-at-boot": (exits.WRONG, Service.CRITICAL),
    "stopped": (exits.NOT_LOADED, Service.WARNING),
    "no-crashkernel": (exits.NOT_LOADED, Service.WARNING),
    "down": (exits.UNKNOWN, Service.UNKNOWN),
    "down-and-unloaded": (exits.WRONG, Service.CRITICAL),
    "deaf": (exits.WRONG, Service.WARNING),
    "starting": (exits.ARMED, Service.OK),
    "fadump": (exits.ARMED, Service.OK),
    "hostile": (exits.ARMED, Service.OK),
}


@pytest.mark.parametrize("name", STATES)
def test_every_state_has_its_exit_statuses(name: str, tmp_path: Path) -> None:
    health = judge(facts.read(tmp_path, STATES[name](tmp_path)))
    assert (health.exit, grade(health, Service.WARNING)) == EXPECTED[name]


def test_whoever_stops_kdump_may_have_that_fine_or_critical(tmp_path: Path) -> None:
    health = judge(facts.read(tmp_path, machines.stopped(tmp_path)))
    assert [grade(health, level) for level in (Service.OK, Service.CRITICAL)] == [Service.OK, Service.CRITICAL]


def test_what_is_not_known_is_no_figure(tmp_path: Path) -> None:
    found = replace(facts.read(tmp_path, machines.armed(tmp_path)), loaded=None, problem="cannot tell")
    (line,) = render(check.lines(found, judge(found), Service.UNKNOWN))
    assert line.startswith("KDUMP UNKNOWN - cannot tell | unprotected=")
    found = replace(found, listener=None)
    assert render(check.lines(found, judge(found), Service.UNKNOWN)) == ["KDUMP UNKNOWN - cannot tell"]


# --- kdumphpd-check.service -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "now", "verb"),
    [
        ("armed", "inactive", Verb.RESTART),
        ("armed", "active", None),
        ("armed", "failed", Verb.RESTART),
        ("unloaded", "active", Verb.RESTART),
        ("unloaded", "failed", None),
        ("stale", "active", Verb.RESTART),
        ("stopped", "failed", Verb.RESTART),
        ("stopped", "active", None),
        ("down", "active", Verb.RESTART),
        ("down-and-unloaded", "failed", None),
    ],
)
def test_the_unit_is_touched_only_where_it_would_say_something_else(
    name: str, now: str, verb: Verb | None, tmp_path: Path
) -> None:
    units = {**STATES[name](tmp_path), UNIT: {"ActiveState": now}}
    assert decide(facts.read(tmp_path, units), NOW) is verb


@pytest.mark.parametrize(("now", "verb"), [("failed", Verb.RESET), ("active", Verb.STOP), ("inactive", None)])
def test_without_kdumphpd_by_the_operators_wish_nothing_fails(now: str, verb: Verb | None, tmp_path: Path) -> None:
    units = {**machines.down(tmp_path), OURS: {"ActiveState": "inactive"}, UNIT: {"ActiveState": now}}
    assert decide(facts.read(tmp_path, units), NOW) is verb


def test_what_passes_by_itself_is_looked_at_again(tmp_path: Path) -> None:
    units = {**machines.unloaded(tmp_path), machines.UNIT: {"ActiveState": "activating"}}
    assert is_passing(facts.read(tmp_path, units))
    for unit_at_work in ({OURS: {"ActiveState": "deactivating"}}, {UNIT: {"ActiveState": "activating"}}):
        units = {**machines.armed(tmp_path), **unit_at_work}
        assert is_passing(facts.read(tmp_path, units))


def test_a_listener_that_starts_changes_nothing_and_one_that_keeps_dying_is_a_failure(tmp_path: Path) -> None:
    def verb(now: str, restarts: int, ran_until: float) -> Verb | None:
        ours = {"ActiveState": "activating", "NRestarts": f"{restarts}"}
        ours["ActiveExitTimestampMonotonic"] = f"{ran_until * 1e6:.0f}"
        units = {**machines.down(tmp_path), OURS: ours, UNIT: {"ActiveState": now}}
        return decide(facts.read(tmp_path, units), NOW)

    for now in ("active", "failed"):
        assert verb(now, 1, 0.0) is None
        assert verb(now, 7, NOW - 5.0) is None, "restarts of other days don't count"
    assert verb("active", 7, 0.0) is verb("active", 1, NOW - 600.0) is Verb.RESTART


def test_an_image_that_somebody_unloads_by_hand_may_be_back_in_a_moment(tmp_path: Path) -> None:
    assert is_missing(facts.read(tmp_path, machines.unloaded(tmp_path)))
    assert not is_missing(facts.read(tmp_path, machines.stopped(tmp_path)))
    assert not is_missing(facts.read(tmp_path, machines.armed(tmp_path)))


def test_a_reload_that_an_operator_asked_for_passes(tmp_path: Path) -> None:
    """The listener is not at work, and has not failed."""
    units = machines.unprotected(tmp_path)
    found = facts.read(tmp_path, units)
    assert not judge(found).passing
    assert found.listener is not None
    assert judge(replace(found, listener=replace(found.listener, failure="", healthy=True))).passing


def test_kdump_tools_that_is_switched_off_wants_no_image(tmp_path: Path) -> None:
    machines.stopped(tmp_path)
    units = {**machines.stopped(tmp_path), "kdump-tools.service": {"ActiveState": "active"}}
    assert judge(facts.read(tmp_path, units)).exit == exits.WRONG
    put(tmp_path, {"etc/default/kdump-tools": "USE_KDUMP=1\n USE_KDUMP=0\n"})
    assert judge(facts.read(tmp_path, units)).exit == exits.NOT_LOADED


def test_opensuses_early_unit_stays_active_when_kdump_is_stopped(tmp_path: Path) -> None:
    machines.stopped(tmp_path)
    units = {"kdump-early.service": {"ActiveState": "active"}, "kdump.service": {"ActiveState": "inactive"}}
    assert judge(facts.read(tmp_path, units)).exit == exits.NOT_LOADED
    assert judge(facts.read(tmp_path, {**units, "kdump.service": {"ActiveState": "active"}})).exit == exits.WRONG


def test_a_state_of_another_version_is_no_kdumphpd_that_does_not_run(tmp_path: Path) -> None:
    units = {**machines.armed(tmp_path), OURS: {"ActiveState": "active"}}
    put(tmp_path, {STATE: '{"version": 9}'})
    health = judge(facts.read(tmp_path, units))
    assert (health.exit, health.hint) == (exits.UNKNOWN, "systemctl restart kdumphpd.service")
    assert "does not say how it is" in health.why


def test_a_systemd_that_does_not_answer_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "ask_systemd", lambda _: None)
    assert unit.bring_up_to_date(tmp_path) == exits.UNKNOWN
    assert "systemd does not answer" in capsys.readouterr().err


def test_a_word_that_changes_meanwhile_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machines.armed(tmp_path)
    words = iter(["unprotected", "armed", "armed"])

    def look(root: Path) -> int:
        put(root, {CONDITION: next(words)})
        return 0

    monkeypatch.setattr(unit, "bring_up_to_date", look)
    assert unit.follow(tmp_path, lambda _: None) == 0
    assert list(words) == []


def test_a_fifo_in_the_words_place_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / CONDITION).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / CONDITION)
    monkeypatch.setattr(unit, "bring_up_to_date", lambda _: 0)
    assert unit.follow(tmp_path, lambda _: None) == 0


# --- where it comes from ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"pending":null}', "[" * 4000, '{"pending":null,"method":1}', "1e999"],
)
def test_a_record_that_is_none_says_nothing(text: str, tmp_path: Path) -> None:
    put(kernel(tmp_path), {RECORD: text})
    assert facts.read(tmp_path, {}).last_load is None


def test_what_the_helper_records_is_what_is_read(tmp_path: Path) -> None:
    root = helper_folder(tmp_path)
    record.write(root, record.Record(method="kexec_load", kernel_updates=True, unprotected=0.25))
    assert facts.last_load(root) == facts.LastLoad(method="kexec_load", kernel_updates=True, unprotected=0.25)
    record.write(root, record.Record(pending=record.Pending()))
    assert facts.last_load(root) == facts.LastLoad(pending=True)


def test_nobody_is_told_to_start_a_unit_that_is_not_there(tmp_path: Path) -> None:
    machines.stopped(tmp_path)
    for units, hint in (
        ({}, INSTALL),
        ({OURS: {"ActiveState": "active"}}, INSTALL),
        ({"kdump.service": {"ActiveState": "inactive"}}, "systemctl start kdump.service"),
    ):
        assert judge(facts.read(tmp_path, units)).hint == hint


def test_a_link_of_systemds_tells_where_it_answers_root_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "ask_systemd", lambda _: None)
    machines.stopped(tmp_path)
    assert judge(facts.read(tmp_path)).exit == exits.NOT_LOADED
    link = tmp_path / f"{facts.INVOCATIONS}{machines.UNIT}"
    link.parent.mkdir(parents=True)
    link.symlink_to("0123")
    assert judge(facts.read(tmp_path)).exit == exits.WRONG


def test_a_link_of_opensuses_early_unit_does_not_tell_that_kdump_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays active then, and no link says whether there is a kdump.service; the listener's word does."""
    monkeypatch.setattr(facts, "ask_systemd", lambda _: None)
    machines.stopped(tmp_path)
    link = tmp_path / f"{facts.INVOCATIONS}kdump-early.service"
    link.parent.mkdir(parents=True)
    link.symlink_to("0123")
    assert judge(facts.read(tmp_path)).exit == exits.NOT_LOADED


def test_what_was_wrong_with_an_image_is_not_why_it_is_missing(tmp_path: Path) -> None:
    """Unloaded by hand after a reload that failed, and the listener has not asked again."""
    units = machines.unloaded(tmp_path)
    found = facts.read(tmp_path, units)
    assert found.listener is not None
    failed = replace(found.listener, last_check=None, status="No kdump image is loaded: the initrd is damaged")
    health = judge(replace(found, listener=failed))
    assert health.exit == exits.WRONG
    assert health.why.startswith("no image is loaded although kdump-tools.service is active")
    assert judge(replace(found, listener=failed, units={})).why == failed.status, "where no unit says anything"
