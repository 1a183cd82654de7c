# SPDX-License-Identifier: GPL-2.0-or-later
import io
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from kdumphpd import journal
from kdumphpd.ids import IdSet
from kdumphpd.journal import journal_fields
from kdumphpd.messages import MessageId
from kdumphpd.policy import Action
from tests.uevents.namespace import in_namespace, mount_tmpfs


def fields(method: str = "info", **event: object) -> dict[str, str]:
    found: dict[str, str] = journal_fields(None, method, event)["fields"]
    return found


def test_an_event_becomes_upper_case_fields_with_our_prefix() -> None:
    assert fields(
        event="CPU 1 came", id=MessageId.RELOADED, cpus_came=IdSet([1]), action=Action.RELOAD, events=1
    ) == {
        "PRIORITY": "6",
        "MESSAGE": "CPU 1 came",
        "MESSAGE_ID": MessageId.RELOADED.value,
        "KDUMPHPD_CPUS_CAME": "1",
        "KDUMPHPD_ACTION": "reload",
        "KDUMPHPD_EVENTS": "1",
    }


@pytest.mark.parametrize(
    ("method", "priority"),
    [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3"), ("critical", "2"), ("unheard_of", "6")],
)
def test_a_level_becomes_a_priority(method: str, priority: str) -> None:
    assert fields(method, event="x")["PRIORITY"] == priority


def test_seconds_are_told_to_the_millisecond() -> None:
    assert fields(event="x", seconds=1.23456)["KDUMPHPD_SECONDS"] == "1.235"


def test_a_traceback_is_part_of_the_message() -> None:
    assert fields("error", event="x", exception="Traceback…")["MESSAGE"] == "x\nTraceback…"


def test_what_is_no_message_id_is_refused() -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        fields(event="x", id="not an id")


def test_every_message_id_is_one() -> None:
    assert [fields(event="x", id=i)["MESSAGE_ID"] for i in MessageId] == list(MessageId)


def test_on_a_terminal_or_in_a_file_there_are_plain_lines() -> None:
    stream = io.StringIO()
    journal.configure("kdumphpd", stream)
    try:
        structlog.get_logger().error("the reload failed", id=MessageId.RELOAD_FAILED, loader="kexec")
    finally:
        structlog.reset_defaults()
    line = stream.getvalue()
    assert "the reload failed" in line
    assert "loader=kexec" in line
    assert MessageId.RELOAD_FAILED not in line
    assert "\x1b" not in line


SPEAKER = """
import structlog
from kdumphpd import journal
from kdumphpd.messages import MessageId
journal.configure("kdumphpd")
structlog.get_logger().warning("two\\nlines", id=MessageId.EVENTS_LOST, seconds=0.5)
"""


@in_namespace
def test_connected_to_the_journal_a_message_arrives_there_with_its_fields() -> None:
    mount_tmpfs("/run")
    home = Path("/run/systemd/journal")
    home.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(home / "socket"))
        journald.settimeout(10)
        read, write = os.pipe()
        try:
            stat = os.fstat(write)
            environment = os.environ | {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
            subprocess.run([sys.executable, "-c", SPEAKER], env=environment, stderr=write, check=True, timeout=30)
        finally:
            os.close(write)
            os.close(read)
        entry = native(journald.recv(65536))
    assert entry == {
        "SYSLOG_IDENTIFIER": "kdumphpd",
        "PRIORITY": str(4),
        "MESSAGE_ID": MessageId.EVENTS_LOST.value,
        "MESSAGE": "two\nlines",
        "KDUMPHPD_SECONDS": "0.500",
    }


def native(datagram: bytes) -> dict[str, str]:
    """The fields of systemd's native journal protocol: KEY=value, or KEY, a length and the value."""
    found = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        key, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack_from("<Q", datagram)
            value, datagram = datagram[8 : 8 + length], datagram[8 + length + 1 :]
        found[key.decode()] = value.decode()
    return found
