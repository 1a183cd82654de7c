# SPDX-License-Identifier: GPL-2.0-or-later
import os

from hypothesis import given
from hypothesis import strategies as st

from kdumphpd.load.command import parse
from kdumphpd.load.recording import calls, last_load
from tests.unit.load.asked import call


@given(st.lists(st.lists(st.binary(max_size=8).map(lambda word: os.fsdecode(word.replace(b"\0", b""))), max_size=5)))
def test_recorded_calls_come_back_whatever_is_in_them(sent: list[list[str]]) -> None:
    data = b"".join(call(*words) for words in sent)
    assert list(calls(data)) == sent


@given(st.binary(max_size=60), st.lists(st.text("abc", max_size=3), max_size=3))
def test_what_is_not_complete_is_left_out(rest: bytes, words: list[str]) -> None:
    assert list(calls(call(*words) + b"3\0-p\0"))[:1] == [words]
    assert list(calls(call(*words) + rest))[:1] == [words]


def test_calls_that_load_nothing_for_a_panic_are_passed_over() -> None:
    assert last_load(b"") is None
    assert last_load(call("-p", "-u") + call("-l", "/k") + call("-e") + call()) is None
    found = last_load(call("-p", "/one") + call("-s", "-p", "/two") + call("-p", "--nonsense") + call("-p", "-u"))
    assert found == parse(["/sbin/kexec", "-s", "-p", "/two"])
