# SPDX-License-Identifier: GPL-2.0-or-later
import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from kdumphpd.client import RearmUnavailable, request
from kdumphpd.protocol import MAX_LINE, SOCKET, Outcome, Progress, Result, Verb, encode
from tests.unit.leftovers import run_async

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

RESULT = Result(outcome=Outcome.RELOADED, seconds=1.5, unprotected=0.2, armed=True)


@contextlib.asynccontextmanager
async def root_part(root: Path, answer: Answer) -> AsyncIterator[None]:
    """What systemd and kdumphpd-rearm@.service are to a client: a connection is answered, then closed."""
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        try:
            await answer(reader, writer)
            await writer.drain()
        except ConnectionError:
            pass  # the client does not wait to the end
        finally:
            writer.close()

    path = root / SOCKET
    path.parent.mkdir(exist_ok=True)
    server = await asyncio.start_unix_server(serve, path)
    async with server:
        yield
    await asyncio.gather(*filter(None, connections))


def ask(root: Path, answer: Answer, verb: Verb = Verb.REARM, limit: float = 30.0) -> tuple[Result, list[str]]:
    """The result, and the steps that were told before."""

    async def main() -> tuple[Result, list[str]]:
        steps: list[str] = []
        async with root_part(root, answer):
            return await request(root, verb, limit, steps.append), steps

    return run_async(main())


def says(*pieces: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return answer


@pytest.mark.parametrize("verb", list(Verb))
def test_the_verb_arrives_as_one_line(tmp_path: Path, verb: Verb) -> None:
    heard = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())
        writer.write(encode(RESULT))

    ask(tmp_path, answer, verb)
    assert heard == [f"{verb}\n".encode()]


def test_steps_are_told_as_they_come_and_the_result_ends_it(tmp_path: Path) -> None:
    lines = [encode(Progress(step="reading")), encode(Progress(step="loading")), encode(RESULT)]
    assert ask(tmp_path, says(*lines)) == (RESULT, ["reading", "loading"])


def test_lines_may_arrive_in_any_pieces(tmp_path: Path) -> None:
    stream = encode(Progress(step="reading")) + encode(RESULT)
    pieces = [stream[i : i + 7] for i in range(0, len(stream), 7)]
    assert ask(tmp_path, says(*pieces)) == (RESULT, ["reading"])


def test_what_comes_after_the_result_is_not_read(tmp_path: Path) -> None:
    assert ask(tmp_path, says(encode(RESULT) + b"garbage\n")) == (RESULT, [])


def test_a_hang_up_without_a_result_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(RearmUnavailable, match="hung up without a result"):
        ask(tmp_path, says(encode(Progress(step="reading"))))


def test_a_hang_up_in_the_middle_of_a_line_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(RearmUnavailable, match="answered out of order"):
        ask(tmp_path, says(encode(RESULT)[:20]))


def test_a_connection_that_is_closed_unread_is_a_hang_up_too(tmp_path: Path) -> None:
    # What systemd does beyond MaxConnections=: the request stays unread, and the kernel resets the connection.
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    with pytest.raises(RearmUnavailable, match="hung up without a result"):
        ask(tmp_path, answer)


@pytest.mark.parametrize("line", [b"what?\n", b"\n", b'{"kind":"result"}\n', b"\xff\xfe\n"])
def test_garbage_is_no_result(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(RearmUnavailable, match="answered out of order"):
        ask(tmp_path, says(line, encode(RESULT)))


def test_a_line_beyond_the_limit_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(RearmUnavailable, match="answered out of order"):
        ask(tmp_path, says(b"x" * (MAX_LINE * 3)))


def test_silence_ends_at_the_timeout(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client goes

    with pytest.raises(RearmUnavailable, match=r"no result within 0\.2 s; see journalctl -u 'kdumphpd-rearm@\*'"):
        ask(tmp_path, answer, limit=0.2)


def test_no_socket_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(
        RearmUnavailable, match=r"No such file or directory; see systemctl status kdumphpd-rearm\.socket"
    ):
        run_async(request(tmp_path, Verb.VERIFY, 5))


def test_a_socket_that_nobody_serves_says_where_to_look(tmp_path: Path) -> None:
    async def main() -> None:
        async with root_part(tmp_path, says()):
            pass
        await request(tmp_path, Verb.VERIFY, 5)

    with pytest.raises(RearmUnavailable, match="cannot talk to the rearm step"):
        run_async(main())
