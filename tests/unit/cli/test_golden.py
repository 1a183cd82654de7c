# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command in every state, as it reads, on a pipe and in 80 columns: tests/fixtures/golden/unit/STATE.txt."""

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdumphpd.cli import check, doctor, explain, facts, status
from kdumphpd.cli.doctor.probe import Probe, Said
from kdumphpd.cli.health import judge
from kdumphpd.cli.output import Json, as_json, options, render
from tests import golden
from tests.unit.cli import machines
from tests.unit.cli.machines import STATES

COMMANDS = {
    "kexec --help": Said(0, " --hotplug  Setup for kernel modification of elfcorehdr.\n"),
    "kexec --version": Said(0, "kexec-tools 2.0.29\n"),
}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def probe(request: pytest.FixtureRequest, tmp_path: Path) -> Probe:
    """The machine in the state that the test is for, seen by an ordinary user."""
    units = STATES[request.param](tmp_path)
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/kdump-config").touch()
    (tmp_path / "etc/default").mkdir(parents=True)
    (tmp_path / "etc/default/kdump-tools").write_text("USE_KDUMP=1\n")
    found = facts.read(tmp_path, units)
    # Lines break by what they hold.
    found = dataclasses.replace(found, absence=found.absence.replace(str(tmp_path), ""), machine="x86_64")
    return Probe(tmp_path, found, False, "6.12-amd64", lambda command: COMMANDS.get(" ".join(command)))


def every_command(probe: Probe) -> str:
    found, health = probe.facts, judge(probe.facts)
    answers = [explain.explain(found, event) for event in explain.EVENTS]
    parts = [
        ("status", list(status.lines(found, health))),
        ("check", list(check.lines(found, health, check.grade(health, check.Service.WARNING)))),
        ("explain", list(explain.lines(health.why, answers))),
        ("doctor", list(doctor.lines(doctor.examine(machines.for_the_doctor(probe))))),
    ]
    text = ""
    for name, lines in parts:
        text += f"$ kdumphpctl {name} | cat\n" + "\n".join(render(lines)) + "\n\n"
        text += f"$ kdumphpctl {name}   # 80 columns\n" + "\n".join(render(lines, width=80)) + "\n\n"
    pretty = as_json(Json.PRETTY, status.content(found, health))
    text += f"$ kdumphpctl status --json=pretty\n{pretty}\n[{health.exit}]\n"
    return text.replace(str(probe.root), "")


@pytest.mark.parametrize(("probe", "name"), [(name, name) for name in STATES], indirect=["probe"])
def test_every_command_in_every_state_reads_as_it_did(probe: Probe, name: str) -> None:
    text = every_command(probe)
    assert text.isascii()
    assert all(line.isprintable() for line in text.splitlines())
    golden.compare(f"unit/{name}.txt", text)


@pytest.mark.parametrize("name", STATES)
def test_text_and_json_are_of_one_judgement(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    units = STATES[name](tmp_path)
    monkeypatch.setattr(facts, "ask_systemd", lambda _: units)
    exit_status = status.run(options(json=Json.SHORT), tmp_path)
    said = json.loads(capsys.readouterr().out)
    assert said["exit"] == exit_status
    assert status.run(options(), tmp_path) == exit_status
    first = capsys.readouterr().out.splitlines()[0]
    assert first.removeprefix("protected     ").lower().replace(" ", "-").startswith(said["protected"])


def test_the_verbs_of_this_test_run_from_a_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    units = STATES["armed"](tmp_path)
    for module in (facts, doctor):
        monkeypatch.setattr(module, "ask_systemd", lambda _: units)
    monkeypatch.setattr(doctor, "execute", lambda command: COMMANDS.get(" ".join(command)))
    for module in (status, check, explain, doctor):
        named = SimpleNamespace(**vars(options(stopped="warning", json=Json.SHORT)))
        module.run(named, tmp_path)
        assert json.loads(capsys.readouterr().out)["schema"] == 1
