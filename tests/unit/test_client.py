# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking the helper for one word, over a real socket."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdumphpd.client import HelperUnavailable, ask
from kdumphpd.protocol import Outcome, Progress, Request, Result, encode
from kdumphpd.runtime import SOCKET


@pytest.fixture
def server(tmp_path: Path) -> Iterator[socket.socket]:
    (tmp_path / SOCKET).parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / SOCKET))
        server.listen()
        yield server


def test_the_result_is_what_comes_after_progress(tmp_path: Path, server: socket.socket) -> None:
    asked: list[bytes] = []

    def answer() -> None:
        client, _ = server.accept()
        with client:
            asked.append(client.recv(100))
            client.sendall(encode(Progress("reading")))
            client.sendall(encode(Result(Outcome.CONFIGURED)))

    helper = threading.Thread(target=answer)
    helper.start()
    assert ask(tmp_path, Request.CONFIGURATION, 30).outcome is Outcome.CONFIGURED
    helper.join()
    assert asked == [b"configuration\n"]


def test_a_helper_that_says_nothing_has_not_hung_up(tmp_path: Path, server: socket.socket) -> None:
    with pytest.raises(HelperUnavailable, match=r"^the helper gave no result within 0\.05 s; see journalctl"):
        ask(tmp_path, Request.CONFIGURATION, 0.05)
    server.close()
    with pytest.raises(HelperUnavailable, match="cannot talk to the helper"):
        ask(tmp_path, Request.CONFIGURATION, 0.05)
