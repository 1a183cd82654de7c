# SPDX-License-Identifier: GPL-2.0-or-later
"""The listener's conversations with the helper, over a real socket: before the request, and after the answer."""

import selectors
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdumphpd.client import HelperUnavailable
from kdumphpd.listener import ask
from kdumphpd.listener.ask import Helper
from kdumphpd.protocol import Outcome, Progress, Request, Result, encode
from kdumphpd.runtime import SOCKET

CURRENT = Result(Outcome.CURRENT, armed=True)


class Peer:
    """The helper's end, and the one who asks."""

    def __init__(self, root: Path) -> None:
        (root / SOCKET).parent.mkdir(parents=True)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(root / SOCKET))
        self.server.listen()
        self.server.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.helper = Helper(root, self.selector, self)
        self.heard: list[object] = []

    def answered(self, result: Result) -> None:
        self.heard.append(result.outcome)

    def unanswered(self, why: str) -> None:
        self.heard.append(why)

    def learned(self, what: str) -> None:
        self.heard.append(what)

    def prepared(self) -> None:
        self.heard.append("the end")

    def accept(self) -> socket.socket:
        client, _ = self.server.accept()
        client.settimeout(5)
        return client

    def turn(self) -> None:
        for key, _ in self.selector.select(0.2):
            key.data()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    peer = Peer(tmp_path)
    yield peer
    peer.helper.close()
    peer.server.close()
    peer.selector.close()


def test_a_helper_that_was_got_ready_is_the_one_that_is_asked(peer: Peer) -> None:
    peer.helper.get_ready(1.0)
    peer.helper.get_ready(1.0)
    with peer.accept() as client:
        with pytest.raises(BlockingIOError):
            peer.accept()  # one is enough for a burst
        peer.helper.request(Request.UPDATE)
        assert client.recv(100) == b"update\n"
        client.sendall(encode(CURRENT))
        peer.turn()
    assert peer.heard == [Outcome.CURRENT]


def test_one_that_has_died_meanwhile_is_replaced(peer: Peer) -> None:
    peer.helper.get_ready(1.0)
    peer.accept().close()
    peer.helper.request(Request.UPDATE)
    with peer.accept() as client:
        assert client.recv(100) == b"update\n"


def test_one_that_will_not_wait_much_longer_is_replaced(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    peer.helper.get_ready(1.0)
    first = peer.accept()
    monkeypatch.setattr(ask, "REQUEST_TIMEOUT", 0.0)
    peer.helper.request(Request.UPDATE)
    with first, peer.accept() as second:
        assert first.recv(100) == b""
        assert second.recv(100) == b"update\n"


def test_the_next_burst_has_its_own(peer: Peer) -> None:
    peer.helper.get_ready(1.0)
    peer.helper.get_ready(2.0)
    with peer.accept() as first, peer.accept():
        assert first.recv(100) == b""


def test_that_none_can_be_got_ready_is_said_only_when_it_is_asked(peer: Peer) -> None:
    peer.server.close()
    peer.helper.get_ready(1.0)
    with pytest.raises(HelperUnavailable, match="systemctl status kdumphpd-helper"):
        peer.helper.request(Request.UPDATE)
    assert not peer.helper.at_work


def test_what_a_helper_learns_after_its_answer_is_heard_and_another_can_be_asked_meanwhile(peer: Peer) -> None:
    peer.helper.request(Request.CHECK)
    with peer.accept() as client:
        client.sendall(encode(CURRENT))
        peer.turn()
        assert (peer.helper.at_work, peer.helper.preparing) == (False, True)
        client.sendall(encode(Progress("the loader was asked")))
        peer.turn()
        peer.helper.request(Request.UPDATE)
        with peer.accept() as second:
            assert peer.helper.at_work
            client.close()
            peer.turn()
            assert peer.heard == [Outcome.CURRENT, "the loader was asked", "the end"]
            assert (peer.helper.at_work, peer.helper.preparing) == (True, False)
            second.sendall(encode(CURRENT))
            peer.turn()
    assert peer.heard[3:] == [Outcome.CURRENT]


def test_each_is_heard_until_it_hangs_up_whoever_has_answered_since(peer: Peer) -> None:
    clients = []
    for _ in range(2):
        peer.helper.request(Request.CHECK)
        clients.append(peer.accept())
        clients[-1].sendall(encode(CURRENT))
        peer.turn()
    clients[1].close()
    peer.turn()
    assert peer.heard == [Outcome.CURRENT, Outcome.CURRENT, "the end"]
    assert peer.helper.preparing
    clients[0].sendall(encode(Progress("the loader was asked")))
    clients[0].close()
    peer.turn()
    peer.turn()
    assert peer.heard[3:] == ["the loader was asked", "the end"]
    assert not peer.helper.preparing


def test_what_arrives_together_with_the_answer_is_heard(peer: Peer) -> None:
    peer.helper.request(Request.CHECK)
    with peer.accept() as client:
        client.sendall(encode(CURRENT) + encode(Progress("the loader was asked")))
        peer.turn()
        assert peer.heard == [Outcome.CURRENT, "the loader was asked"]


def test_one_attempt_to_get_a_helper_ready_is_enough_for_a_burst(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[Path] = []

    def refused(root: Path) -> None:
        attempts.append(root)
        raise HelperUnavailable("no helper")

    monkeypatch.setattr(ask, "Conversation", refused)
    for _ in range(3):
        peer.helper.get_ready(1.0)
    assert len(attempts) == 1


def test_a_helper_that_hangs_up_is_unavailable_and_one_that_is_given_up_says_nothing_more(peer: Peer) -> None:
    peer.helper.request(Request.CHECK)
    peer.accept().close()
    peer.turn()
    assert "hung up without a result" in str(peer.heard)
    peer.helper.request(Request.CHECK)
    with peer.accept() as client:
        peer.helper.give_up()
        with pytest.raises(BrokenPipeError):
            client.sendall(encode(CURRENT))
    assert len(peer.heard) == 1
