# SPDX-License-Identifier: GPL-2.0-or-later
import json

import pytest

from kdumphpd.protocol import (
    FOR_ROOT,
    Outcome,
    Progress,
    ProtocolError,
    Reason,
    Request,
    Result,
    Settings,
    Totals,
    decode,
    decode_request,
    encode,
)


def test_a_result_arrives_as_it_was_sent() -> None:
    result = Result(
        outcome=Outcome.RELOADED,
        reason=Reason.STALE,
        detail="2 GiB missing — at 0x100000000",
        loader="kexec",
        method="kexec -c --hotplug",
        seconds=1.25,
        unprotected=0.25,
        armed=True,
        wait=3.0,
        kernel_updates=True,
        settings=Settings(settle_time=1.0, max_delay=10.0, interval=3600.0),
        totals=Totals(reloads=3, unprotected=0.5),
    )
    assert decode(encode(result)) == result


def test_a_progress_arrives_as_it_was_sent() -> None:
    assert decode(encode(Progress("reading the loaded image"))) == Progress("reading the loaded image")


def test_a_message_is_one_line_whatever_it_says() -> None:
    line = encode(Result(Outcome.FAILED, detail="first\nsecond\u2028third"))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")


def test_a_message_is_a_json_object_that_says_its_kind() -> None:
    assert json.loads(encode(Progress("x"))) == {"kind": "progress", "step": "x"}
    assert json.loads(encode(Result(Outcome.CURRENT)))["kind"] == "result"


def test_what_a_result_does_not_say_has_a_default() -> None:
    assert decode(b'{"kind":"result","outcome":"current"}') == Result(Outcome.CURRENT)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"null",
        b"[]",
        b'"result"',
        b"7",
        b"{}",
        b'{"kind":"verdict"}',
        b'{"kind":[]}',
        b'{"kind":"result"}',
        b'{"kind":"result","outcome":"splendid"}',
        b'{"kind":"result","outcome":"current","newer":1}',
        b'{"kind":"result","outcome":"current","seconds":"soon"}',
        b'{"kind":"result","outcome":"current","seconds":NaN}',
        b'{"kind":"result","outcome":"current","armed":1}',
        b'{"kind":"result","outcome":"current","settings":{"settle_time":1}}',
        b'{"kind":"result","outcome":"current","seconds":1' + b"0" * 400 + b"}",
        b'{"kind":"progress"}',
        b'{"kind":"progress","step":{}}',
        b"\xff",
        b'{"kind":"progress","step":"\xff"}',
        b"[" * 100000,
        b"1" * 5000,
    ],
)
def test_anything_else_is_not_in_the_protocol(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="not an answer of the helper"):
        decode(line)


@pytest.mark.parametrize("request_", list(Request))
def test_a_request_is_a_line_with_one_word(request_: Request) -> None:
    assert decode_request(f"{request_}\n".encode()) is request_


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"CHECK\n", b"check now\n", b"check\r\n", b"check\n\n", b" check\n", b"ch\xe4ck\n", b"x" * 70000],
)
def test_a_request_with_anything_beside_it_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"unknown request .*; known: check, update"):
        decode_request(line)


def test_what_the_listener_asks_for_by_itself_is_not_for_root_alone() -> None:
    assert {Request.REARM, Request.REARM_NOW} == FOR_ROOT
