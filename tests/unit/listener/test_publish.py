# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics and the file that they are in."""

import errno
import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd import state
from kdumphpd.kernel.crash_hotplug import Subsystem
from kdumphpd.listener import metrics
from kdumphpd.listener.publish import LONGEST, PAUSE, Publisher
from kdumphpd.listener.tally import Tally
from kdumphpd.protocol import Outcome, Reason, Result
from kdumphpd.runtime import CONDITION, METRICS
from kdumphpd.state import Condition, State
from tests.unit.trees import put

FINE = State(1.0, "Armed", healthy=True, receiving=True, loaded=True, condition=Condition.ARMED, since=100.0)
STALE = replace(FINE, healthy=False, condition=Condition.WRONG, since=177.0)


def values(text: str) -> dict[str, float]:
    """Samples by name and labels."""
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_every_metric_has_its_help_and_type_and_no_timestamp() -> None:
    text = metrics.render(FINE, Tally(), 0.0)
    names = {re.sub(r"_(bucket|sum|count)$", "", name.partition("{")[0]) for name in values(text)}
    assert set(re.findall(r"^# TYPE (\w+) (?:gauge|counter|histogram)$", text, re.MULTILINE)) == names
    assert set(re.findall(r"^# HELP (\w+) .*\.$", text, re.MULTILINE)) == names
    assert all(len(re.sub(r"\{.*\}", "", line).split()) == 2 for line in text.splitlines() if line[0] != "#")


def test_metrics_say_what_was_counted() -> None:
    tally = Tally()
    tally.crashkernel = 256 << 20
    tally.events[Subsystem.MEMORY] += 32
    tally.answered(Result(Outcome.RELOADED, Reason.STALE, method="kexec", unprotected=0.25, armed=True), 10.0, 12.0)
    tally.saw(FINE, 12.0)
    found = values(metrics.render(replace(FINE, overflows=2, bursts=1), tally, 12.0))
    assert (found["kdumphpd_protected"], found["kdumphpd_stale"], found["kdumphpd_stopped"]) == (1, 0, 0)
    assert found["kdumphpd_state_since_seconds"] == 100
    assert found["kdumphpd_crashkernel_bytes"] == 256 << 20
    assert found['kdumphpd_events_total{subsystem="memory"}'] == 32
    assert found['kdumphpd_events_total{subsystem="cpu"}'] == 0
    assert found["kdumphpd_event_overflows_total"] == 2
    assert found['kdumphpd_reloads_total{result="reloaded"}'] == 1
    assert found["kdumphpd_unprotected_seconds_total"] == 0.25
    assert found['kdumphpd_unprotected_duration_seconds_bucket{le="0.1"}'] == 0
    assert found['kdumphpd_unprotected_duration_seconds_bucket{le="0.3"}'] == 1
    assert found['kdumphpd_stale_duration_seconds_bucket{le="+Inf"}'] == 1
    assert found["kdumphpd_stale_duration_seconds_sum"] == found["kdumphpd_stale_seconds_total"] == 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, {"run/kdumphpd/x": ""})
    return tmp_path


def written(root: Path) -> dict[str, float]:
    return values((root / METRICS).read_text())


def test_what_could_not_be_written_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    publisher = Publisher(folder, said.append, Tally())
    publisher.publish(FINE, 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        publisher.publish(STALE, 1.0)
    assert state.read(folder).healthy
    publisher.publish(STALE, 1.0 + PAUSE)
    assert not state.read(folder).healthy
    assert (folder / CONDITION).read_text() == "wrong\n"
    assert written(folder)["kdumphpd_stale"] == 1
    assert said == ["STATUS=Armed"], "it is said once"


def test_what_a_loader_has_said_in_several_lines_is_one_assignment(folder: Path) -> None:
    """systemd takes every line for an assignment of its own (sd_notify(3))."""
    said: list[str] = []
    status = "The kdump image may be out of date: kexec failed: no room\nMAINPID=1; next try in 4 s"
    Publisher(folder, said.append, Tally()).publish(replace(STALE, status=status), 0.0)
    assert said == ["STATUS=" + status.replace("\n", " ")]
    assert state.read(folder).status == status


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_damaged_condition_is_replaced(folder: Path) -> None:
    (folder / CONDITION).write_bytes(b"\xff")
    Publisher(folder, lambda _: None, Tally()).publish(FINE, 0.0)
    assert (folder / CONDITION).read_text() == "armed\n"


def test_uevents_alone_write_no_metrics_before_the_pause_is_over(folder: Path) -> None:
    publisher = Publisher(folder, lambda _: None, Tally())
    publisher.publish(FINE, 0.0)
    publisher.publish(replace(FINE, bursts=1), PAUSE / 2)
    assert written(folder)["kdumphpd_bursts_total"] == 0
    publisher.publish(replace(FINE, bursts=2), PAUSE)
    assert written(folder)["kdumphpd_bursts_total"] == 2


def test_what_a_panic_would_leave_is_written_at_once(folder: Path) -> None:
    publisher = Publisher(folder, lambda _: None, Tally())
    publisher.publish(FINE, 0.0)
    publisher.publish(STALE, 0.1)
    assert written(folder)["kdumphpd_stale"] == 1
    assert written(folder)["kdumphpd_state_since_seconds"] == 177


def test_the_file_gets_no_older_than_its_longest_age(folder: Path) -> None:
    publisher = Publisher(folder, lambda _: None, Tally())
    publisher.publish(FINE, 0.0)
    (folder / METRICS).unlink()
    publisher.publish(FINE, LONGEST - 1)
    assert not (folder / METRICS).exists()
    publisher.publish(FINE, LONGEST)
    assert (folder / METRICS).exists()


def test_everybody_may_read_metrics_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        Publisher(folder, lambda _: None, Tally()).publish(FINE, 0.0)
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / METRICS).stat().st_mode) == 0o644
    assert [path.name for path in (folder / METRICS).parent.glob("*.new")] == []


def test_a_folder_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path, lambda _: None, Tally())
    publisher.publish(FINE, 0.0)
    put(tmp_path, {"run/kdumphpd/x": ""})
    publisher.publish(STALE, 1.0)
    assert written(tmp_path)["kdumphpd_stale"] == 1


def test_before_the_first_check_metrics_say_whether_an_image_is_loaded(folder: Path) -> None:
    publisher = Publisher(folder, lambda _: None, Tally())
    checking = replace(FINE, condition=Condition.CHECKING)
    publisher.publish(replace(checking, loaded=False), 0.0)
    assert written(folder)["kdumphpd_protected"] == 0
    publisher.publish(checking, 0.1)
    assert written(folder)["kdumphpd_protected"] == 1
