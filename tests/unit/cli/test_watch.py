# SPDX-License-Identifier: GPL-2.0-or-later
"""What `kdumphpctl watch` says, change by change; and the command itself, while the state comes and goes."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from kdumphpd import state
from kdumphpd.cli.watch import UNKNOWN, Seen, changes, look
from kdumphpd.state import Condition, LastBurst, State
from tests.unit.trees import put

ARMED = State(1.0, "Armed", healthy=True, loaded=True, condition=Condition.ARMED)
BURST = LastBurst(50.0, "2 GiB onlined: the kernel updated the kdump image", 32, "current", "current", 0, 0, 0)
DOWN = Seen(5.0, UNKNOWN, "kdumphpd is not running")


def said(*steps: State | Seen) -> list[str]:
    """The sentences about a sequence of states."""
    sentences, last = [], None
    for now, step in enumerate(steps):
        for seen in changes(last, step, float(now)):
            sentences.append(f"{seen.condition}: {seen.sentence}")
            last = seen
    return sentences


def test_a_change_is_a_line_and_no_change_is_none() -> None:
    wrong = replace(ARMED, condition=Condition.WRONG, status="The kdump image may be out of date")
    assert said(ARMED, replace(ARMED, events=9), wrong, wrong, ARMED) == [
        "armed: Armed",
        "wrong: The kdump image may be out of date",
        "armed: Armed",
    ]


def test_a_countdown_is_no_change() -> None:
    counting = [
        replace(ARMED, condition=Condition.WRONG, status=f"Out of date; next try in {n} s") for n in (9, 6, 3)
    ]
    assert said(*counting) == ["wrong: Out of date"]


def test_a_burst_that_has_ended_is_told_once() -> None:
    assert said(ARMED, replace(ARMED, last_burst=BURST), replace(ARMED, last_burst=BURST, checks=9)) == [
        "armed: Armed",
        "armed: 2 GiB onlined: the kernel updated the kdump image",
        "armed: Armed",
    ]


def test_a_burst_of_before_is_not_told() -> None:
    assert said(replace(ARMED, last_burst=BURST)) == ["armed: Armed"]


def test_a_daemon_that_goes_and_comes_back_is_told() -> None:
    again = replace(ARMED, last_burst=replace(BURST, ended=70.0))
    assert said(replace(ARMED, last_burst=BURST), DOWN, DOWN, ARMED, again) == [
        "armed: Armed",
        "unknown: kdumphpd is not running",
        "armed: Armed",
        "armed: 2 GiB onlined: the kernel updated the kdump image",
        "armed: Armed",
    ]


def test_a_state_file_that_is_none_is_told(tmp_path: Path) -> None:
    put(tmp_path, {"run/kdumphpd/state.json": "[]"})
    seen = look(tmp_path, 1.0)
    assert isinstance(seen, Seen)
    assert seen.condition == UNKNOWN


def test_it_follows_until_it_is_interrupted(tmp_path: Path) -> None:
    put(tmp_path, {"run/kdumphpd/x": ""})
    program = """
import signal, sys
from pathlib import Path
from kdumphpd.cli import output, watch
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored in what it runs in the background
sys.exit(watch.run(output.options(json=output.Json.SHORT), Path(sys.argv[1])))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True, env={**os.environ, "TZ": "UTC"}
    )
    with process:
        assert process.stdout is not None

        def line() -> dict[str, object]:
            assert process.stdout is not None
            return dict(json.loads(process.stdout.readline()))

        assert line()["condition"] == UNKNOWN
        state.write(tmp_path, ARMED)
        first = line()
        assert (first["schema"], first["condition"], first["sentence"]) == (1, "armed", "Armed")
        state.write(tmp_path, replace(ARMED, last_burst=BURST))
        assert line()["sentence"] == BURST.sentence
        assert line()["sentence"] == "Armed"
        (tmp_path / "run/kdumphpd/state.json").unlink()
        assert line()["condition"] == UNKNOWN
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
