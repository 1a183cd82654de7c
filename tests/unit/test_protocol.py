# SPDX-License-Identifier: GPL-2.0-or-later
import json

import pytest

from kdumphpd.protocol import Outcome, Progress, ProtocolError, Result, Verb, decode, decode_verb, encode


def test_a_result_arrives_as_it_was_sent() -> None:
    result = Result(
        outcome=Outcome.RELOADED,
        reason="image-stale",
        detail="2 GiB missing — at 0x100000000",
        loader="kexec",
        seconds=1.25,
        unprotected=0.25,
        armed=True,
        kernel_updates=True,
    )
    assert decode(encode(result)) == result


def test_a_progress_arrives_as_it_was_sent() -> None:
    assert decode(encode(Progress(step="reading the loaded image"))) == Progress(step="reading the loaded image")


def test_a_message_is_one_line_whatever_it_says() -> None:
    line = encode(Result(outcome=Outcome.FAILED, detail="first\nsecond\u2028third"))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")


def test_a_message_is_a_json_object_that_says_its_kind() -> None:
    assert json.loads(encode(Progress(step="x"))) == {"kind": "progress", "step": "x"}
    assert json.loads(encode(Result(outcome=Outcome.CURRENT)))["kind"] == "result"


def test_what_a_result_does_not_say_has_a_default() -> None:
    assert decode(b'{"kind":"result","outcome":"current"}') == Result(outcome=Outcome.CURRENT)


def test_a_field_that_only_another_version_knows_is_passed_over() -> None:
    assert decode(b'{"kind":"result","outcome":"current","newer":1}') == Result(outcome=Outcome.CURRENT)


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
        b'{"kind":"result","outcome":"current","seconds":"soon"}',
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
    with pytest.raises(ProtocolError, match="not an answer of the rearm step"):
        decode(line)


@pytest.mark.parametrize("verb", list(Verb))
def test_a_verb_is_a_line_with_one_word(verb: Verb) -> None:
    assert decode_verb(f"{verb}\n".encode()) is verb


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"REARM\n", b"rearm now\n", b"rearm\r\n", b"rearm\n\n", b" rearm\n", b"re\xe4rm\n", b"x" * 70000],
)
def test_a_verb_with_anything_beside_it_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"unknown request .*; known: verify, rearm"):
        decode_verb(line)
