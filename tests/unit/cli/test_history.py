# SPDX-License-Identifier: GPL-2.0-or-later
"""History and plot by a journalctl of the test's own, which is asked as the real one is and answers as it does."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdumphpd.cli import exits, history, journalctl, output, plot
from kdumphpd.cli.entries import DEBUG, DIED, KINDS, Entry, entries
from kdumphpd.cli.output import Json, render
from kdumphpd.messages import MessageId

T, STARTED = 1_764_000_000.5, MessageId.STARTED
ASKED = {"since": None, "until": None, "boot": None, "lines": None}


def raw(when: float = 1_764_000_000.5, message_id: str = MessageId.RELOADED, **fields: Any) -> bytes:
    """One line of `journalctl -o json`."""
    content = {
        "__REALTIME_TIMESTAMP": str(int(when * 1e6)),
        "_BOOT_ID": "b" * 32,
        "MESSAGE_ID": message_id,
        "PRIORITY": "6",
        "MESSAGE": "2 GiB of memory onlined: reloaded the kdump image",
        "KDUMPHPD_OUTCOME": "reloaded",
        "KDUMPHPD_REASON": "stale",
        "KDUMPHPD_ARMED": "yes",
        "KDUMPHPD_METHOD": "kexec_load",
        "KDUMPHPD_SECONDS": "1.200",
        "KDUMPHPD_UNPROTECTED": "0.200",
        "KDUMPHPD_EVENTS": "32",
        "KDUMPHPD_DURATION": "0.400",
        "KDUMPHPD_ELAPSED": "5.000",
        "KDUMPHPD_BLOCKS_ONLINE": "32-47",
        **fields,
    }
    return json.dumps(content).encode() + b"\n"


def one(**fields: Any) -> Entry:
    (entry,) = entries([raw(**fields)])
    return entry


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What journalctl prints; how it was called is in the file `called` beside it."""
    script = tmp_path / "journalctl"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/called\ncat {tmp_path}/said\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    said = tmp_path / "said"
    said.write_bytes(b"")
    return said


def test_an_entry_has_what_the_journal_has() -> None:
    entry = one()
    assert (entry.when, entry.kind, entry.armed, entry.priority) == (1_764_000_000.5, "reloaded", True, 6)
    assert (entry.events, entry.duration, entry.elapsed) == (32, 0.4, 5.0)
    assert (entry.seconds, entry.unprotected, entry.blocks) == (1.2, 0.2, "online 32-47")


def test_every_kind_of_entry_has_its_word() -> None:
    assert set(KINDS) == {*MessageId, DIED}
    assert max(map(len, KINDS.values())) < history.WORD


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"\n", b"{", b"[]", b"null", b"1e999", b"[" * 100_000, b"\xff\xfe"),
        raw(message_id="0" * 32),
        raw(__REALTIME_TIMESTAMP="never"),
        raw(__REALTIME_TIMESTAMP="1" * 400),
        raw(__REALTIME_TIMESTAMP=None),
        raw(MESSAGE_ID=None),
        raw(MESSAGE_ID=["a", "b"]),
    ],
)
def test_what_is_no_entry_of_ours_is_left_out(line: bytes) -> None:
    assert len(list(entries([line, raw()]))) == 1


@pytest.mark.parametrize("value", ["1e300", "-1", "nan", "inf", "", "x", None, [1], {}, True, ["2", "3"]])
def test_a_number_that_is_none_harms_nobody(value: Any) -> None:
    entry = one(KDUMPHPD_SECONDS=value, KDUMPHPD_EVENTS=value, PRIORITY=value)
    assert 0 <= entry.seconds < 3
    assert entry.priority <= DEBUG


def test_a_message_that_is_no_text_is_shown_as_well_as_it_can_be() -> None:
    assert one(MESSAGE=[104, 105, 27, 255]).sentence == "hi\x1b\ufffd"
    assert one(MESSAGE=None).sentence == "(too long)"
    assert one(MESSAGE=["first", "second"]).sentence == "first"


def test_nothing_of_the_journal_reaches_a_terminal_as_a_command() -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\r\n\u202e"
    text = "".join(render(history.lines([one(MESSAGE=hostile)])))
    assert text.isprintable()
    assert "owned" in text


def test_only_entries_of_our_unit_and_systemds_of_its_death_are_asked_for(journal: Path) -> None:
    """Any process may log with our MESSAGE_ID; the unit and the PID are journald's own words."""
    journalctl.read(output.options(**ASKED), "info")
    called = (journal.parent / "called").read_text().splitlines()
    assert "--priority=info" in called
    matches = called[called.index("_SYSTEMD_UNIT=kdumphpd.service") + 1 :]
    assert matches[: len(MessageId)] == [f"MESSAGE_ID={id_}" for id_ in MessageId]
    death = ["_PID=1", "UNIT=kdumphpd.service", "COMMAND=ExecStart", f"MESSAGE_ID={DIED}"]
    assert matches[len(MessageId) :] == ["+", *death]


def test_a_listener_that_was_killed_is_in_the_history_and_not_watched_from_then_on(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "kdumphpd.service: Main process exited, code=killed, status=9/KILL"
    # As systemd 252 has it.
    died = {"MESSAGE": said, "PRIORITY": "4", "EXIT_CODE": "killed", "EXIT_STATUS": "9", "COMMAND": "ExecStart"}
    systemds = {name: value for name, value in json.loads(raw(when=T + 3000)).items() if "KDUMPHPD" not in name}
    journal.write_bytes(
        raw(when=T) + json.dumps({**systemds, **died, "MESSAGE_ID": DIED}).encode() + b"\n" + raw(T + 3600, STARTED)
    )
    history.run(output.options(**ASKED), Path("/"))
    assert f"died        {said}" in capsys.readouterr().out
    plot.run(output.options(**ASKED, json=Json.SHORT), Path("/"))
    *_, watched, unwatched = json.loads(capsys.readouterr().out)["spans"]
    assert (watched["phase"], watched["begin"], watched["end"]) == ("protected", T, T + 3000)
    assert (unwatched["phase"], unwatched["begin"], unwatched["end"]) == ("not watched", T + 3000, T + 3600)


def test_what_is_asked_for_is_journalctls_business(journal: Path) -> None:
    chosen = {"since": "--file=/etc/shadow", "until": "now", "boot": "", "lines": "5"}
    journalctl.read(output.options(**chosen), "info")
    called = (journal.parent / "called").read_text().splitlines()
    assert {"--since=--file=/etc/shadow", "--until=now", "--boot", "--lines=5"} <= set(called)


def test_history_is_a_line_an_entry(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal.write_bytes(raw() + raw(message_id=MessageId.KERNEL_UPDATED, _BOOT_ID="c" * 32))
    assert history.run(output.options(**ASKED), Path("/")) == exits.ARMED
    first, boot, second = capsys.readouterr().out.splitlines()
    assert first[20:] == "reloaded    2 GiB of memory onlined: reloaded the kdump image"
    assert boot == "-- Boot --"
    assert second[20:].startswith("updated  ")


def test_history_as_json_has_every_entry(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal.write_bytes(raw() * 3)
    history.run(output.options(**ASKED, json=Json.SHORT), Path("/"))
    said = json.loads(capsys.readouterr().out)
    assert said["schema"] == 1
    assert [entry["unprotected"] for entry in said["entries"]] == [0.2] * 3


def test_no_entry_is_no_error_and_nothing_on_the_standard_output(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history.run(output.options(**ASKED), Path("/")) == exits.ARMED
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("no entries of kdumphpd's")


@pytest.mark.parametrize("verb", [history, plot])
def test_what_journalctl_complains_of_is_said(verb: Any, journal: Path) -> None:
    (journal.parent / "journalctl").write_text("#!/bin/sh\necho 'Failed to parse timestamp: x' >&2\nexit 1\n")
    with pytest.raises(output.NoAnswerError, match=r"^journalctl failed: Failed to parse timestamp: x$"):
        verb.run(output.options(**ASKED), Path("/"))


def test_a_system_without_journalctl_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(output.NoAnswerError, match="cannot run journalctl: No such file or directory"):
        history.run(output.options(**ASKED), Path("/"))


def test_plot_is_a_picture_and_as_json_its_data(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal.write_bytes(raw())
    assert plot.run(output.options(**ASKED), Path("/")) == exits.ARMED
    assert capsys.readouterr().out.startswith("<svg ")
    plot.run(output.options(**ASKED, json=Json.SHORT), Path("/"))
    said = json.loads(capsys.readouterr().out)
    assert [span["phase"] for span in said["spans"]] == ["stale", "unprotected"]
    assert said["requests"][0]["events"] == 32


def test_an_empty_journal_is_no_picture(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plot.run(output.options(**ASKED), Path("/")) == exits.NOT_LOADED
    said = capsys.readouterr()
    assert said.out == ""
    assert "no entries" in said.err
