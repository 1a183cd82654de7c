# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes to journald, through a real datagram socket, and what happens where nobody reads it."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdumphpd import journald
from kdumphpd.journal import journal_fields
from kdumphpd.journald import MAX_VALUE, Journald
from kdumphpd.messages import MessageId


class Peer:
    """A journald that reads only when it is asked to."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def entries(self) -> list[dict[str, str]]:
        found = []
        while True:
            try:
                found.append(decode(self.socket.recv(1 << 21)))
            except BlockingIOError:
                return found


def decode(datagram: bytes) -> dict[str, str]:
    """As journald reads it: systemd's "Native Journal Protocol"."""
    entry, rest = {}, datagram
    while rest:
        head, _, rest = rest.partition(b"\n")
        name, assigned, value = head.partition(b"=")
        if not assigned:
            (length,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        entry[name.decode()] = value.decode()
    return entry


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    found = Peer(tmp_path / "socket")
    yield found
    found.socket.close()


@pytest.fixture
def client(peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journald]:
    monkeypatch.setattr(journald, "PATIENCE", 0.01)
    found = Journald(str(tmp_path / "socket"))
    yield found
    found.close()


def test_the_fields_have_names_that_journald_keeps() -> None:
    entry = journal_fields("notice", "done", {"id": MessageId.RELOAD_FAILED, "outcome": "reloaded", "stale": 1.23456})
    assert entry == {
        "MESSAGE": "done",
        "PRIORITY": "5",
        "MESSAGE_ID": MessageId.RELOAD_FAILED.replace("-", ""),
        "KDUMPHPD_OUTCOME": "reloaded",
        "KDUMPHPD_STALE": "1.235",
    }


def test_an_entry_arrives_whole(client: Journald, peer: Peer) -> None:
    entry = {"MESSAGE": "a line = one", "KDUMPHPD_DETAIL": "two\nlines\n", "EMPTY": ""}
    client.send(entry)
    assert peer.entries() == [entry]


def test_a_value_that_is_too_long_is_cut(client: Journald, peer: Peer) -> None:
    client.send({"MESSAGE": "x" * (4 * MAX_VALUE)})
    assert peer.entries() == [{"MESSAGE": "x" * MAX_VALUE}]


def test_nor_is_a_character_cut_in_half(client: Journald, peer: Peer) -> None:
    client.send({"MESSAGE": "x" + "é" * MAX_VALUE})
    assert peer.entries() == [{"MESSAGE": "x" + "é" * ((MAX_VALUE - 1) // 2)}]


def test_a_journald_that_does_not_read_stops_nobody_and_what_is_missing_is_said(client: Journald, peer: Peer) -> None:
    for number in range(2000):  # net.unix.max_dgram_qlen takes a few; the others would wait for ever
        client.send({"MESSAGE": str(number)})
    arrived = peer.entries()
    client.send({"MESSAGE": "later"})
    note, later = peer.entries()
    assert note["MESSAGE"] == f"{2000 - len(arrived)} messages are missing here: the journal did not take them"
    assert later == {"MESSAGE": "later"}


def test_a_journald_that_is_gone_stops_nobody_and_one_that_came_back_is_found(
    client: Journald, peer: Peer, tmp_path: Path
) -> None:
    client.send({"MESSAGE": "first"})
    peer.socket.close()
    client.send({"MESSAGE": "lost"})
    again = Peer(tmp_path / "socket")
    client.send({"MESSAGE": "second"})
    assert [entry["MESSAGE"] for entry in again.entries()] == [
        "1 messages are missing here: the journal did not take them",
        "second",
    ]
    again.socket.close()


def test_one_that_was_restarted_loses_nothing(client: Journald, peer: Peer, tmp_path: Path) -> None:
    client.send({"MESSAGE": "first"})
    peer.socket.close()
    again = Peer(tmp_path / "socket")
    client.send({"MESSAGE": "second"})
    assert again.entries() == [{"MESSAGE": "second"}]
    again.socket.close()
