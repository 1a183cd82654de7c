# SPDX-License-Identifier: GPL-2.0-or-later
"""What `kdumphpctl explain` says is what the helper would do."""

import dataclasses
import json
from pathlib import Path

import pytest

from kdumphpd.cli import exits, explain, facts, status
from kdumphpd.cli.explain import EVENTS, Consequence
from kdumphpd.cli.facts import OURS
from kdumphpd.cli.health import judge
from kdumphpd.cli.output import Json, options, render
from kdumphpd.kernel.fadump import Fadump
from kdumphpd.kernel.limits import Limits
from kdumphpd.runtime import STATE
from tests.unit.cli.machines import STATES
from tests.unit.trees import put

REFUSAL = "kernel.kexec_load_disabled is 1"
OFF = "proc/sys/kernel/kexec_load_disabled"


def consequences(found: facts.Facts, refusal: str = "") -> dict[str, Consequence]:
    limited = dataclasses.replace(found, limits=Limits(refusal, calls=None, locked_down=False))
    return {event.name: explain.explain(limited, event) for event in EVENTS}


def seen(root: Path, state: str) -> facts.Facts:
    return dataclasses.replace(facts.read(root, STATES[state](root)), machine="x86_64")


def with_fadump(found: facts.Facts, *, registered: bool, hotplug_ready: bool = False) -> facts.Facts:
    return dataclasses.replace(found, loaded=registered, fadump=Fadump(True, registered, hotplug_ready))


def test_a_kernel_that_loads_nothing_any_more_leaves_the_image_out_of_date(tmp_path: Path) -> None:
    for name, said in consequences(seen(tmp_path, "armed-by-reloads"), REFUSAL).items():
        assert said.goes_wrong == (name != "CPU removed")
        assert ("kdumphpd reloads" in said.then) is False
        assert (said.because == REFUSAL) == said.goes_wrong
    updated = consequences(seen(tmp_path / "updated", "armed"), REFUSAL)
    assert [said.goes_wrong for said in updated.values()] == [False, False, False, True]
    down = consequences(seen(tmp_path / "down", "down"), REFUSAL)
    assert all(said.goes_wrong for said in down.values())


@pytest.mark.parametrize(("disabled", "status"), [("0\n", exits.ARMED), ("1\n", exits.WRONG)])
def test_the_exit_status_says_so(
    disabled: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen(tmp_path, "armed-by-reloads")
    put(tmp_path, {OFF: disabled})
    assert explain.run(options(json=Json.SHORT), tmp_path) == status
    events = json.loads(capsys.readouterr().out)["events"]
    assert any(event["goes_wrong"] for event in events) == (status == exits.WRONG)


def test_a_reload_that_is_pending_is_none_where_the_kernel_refuses(tmp_path: Path) -> None:
    found = seen(tmp_path, "unprotected")
    assert all(said.then == "nothing more" for said in consequences(found).values())
    assert all(REFUSAL in said.because for said in consequences(found, REFUSAL).values())


def test_without_uevents_nobody_notices(tmp_path: Path) -> None:
    found = dataclasses.replace(seen(tmp_path, "deaf"), updates={})
    assert consequences(found)["memory added"].goes_wrong


def test_fadump_is_registered_again_by_whoever_runs_and_only_where_it_is_registered(tmp_path: Path) -> None:
    found = with_fadump(seen(tmp_path, "armed"), registered=True)
    said = consequences(found)
    assert said["memory added"].then == "kdumphpd registers fadump again"
    assert said["CPU added"].then == "nothing"
    assert consequences(found, REFUSAL) == said  # kexec has no part in it
    down = dataclasses.replace(found, listener=None, units=None)
    assert "kdumphpd registers" not in consequences(down)["memory added"].then
    assert consequences(down)["memory added"].because == "kdumphpd does not run"
    gone = consequences(with_fadump(found, registered=False))
    assert {said.then for said in gone.values()} == {"nothing"}
    assert "not registered" in gone["memory added"].because
    ready = consequences(with_fadump(down, registered=True, hotplug_ready=True))
    assert {said.then for said in ready.values()} == {"nothing"}


def test_a_kdumphpd_that_does_not_say_how_it_is_is_not_taken_for_one_that_does_not_run(tmp_path: Path) -> None:
    units = {**STATES["armed"](tmp_path), OURS: {"ActiveState": "active"}}
    put(tmp_path, {STATE: '{"version": 9}'})
    found = facts.read(tmp_path, units)
    for seen_as in (found, with_fadump(found, registered=True)):
        said = consequences(seen_as)["memory added"]
        assert said.then == "that can't be told"
        assert "is not a state of this kdumphpd" in said.because


def test_where_the_capture_kernel_describes_the_machine_nothing_is_said_to_be_reloaded(tmp_path: Path) -> None:
    found = dataclasses.replace(seen(tmp_path, "armed-by-reloads"), machine="s390x")
    assert {said.then for said in consequences(found).values()} == {"nothing"}
    shown = "\n".join(render(status.lines(found, judge(found))))
    assert shown.count("the capture kernel of s390x describes the machine by itself") == 2
    assert "kdumphpd reloads it" not in shown


def test_what_cannot_be_told_is_not_taken_for_no_image(tmp_path: Path) -> None:
    found = dataclasses.replace(seen(tmp_path, "armed"), loaded=None, problem="cannot tell: Input/output error")
    assert {(said.then, said.because) for said in consequences(found).values()} == {
        ("that can't be told", "cannot tell: Input/output error")
    }
