# SPDX-License-Identifier: GPL-2.0-or-later
"""The filter, run by an interpreter of classic BPF and held against what it is meant to let through."""

import struct

from hypothesis import example, given
from hypothesis import strategies as st

from kdumphpd.listener.bpf import ACTION_LENGTHS, JA, JEQ, RET, Instruction, assemble, program
from kdumphpd.listener.receive import DEVPATHS

# kobject_actions[] of lib/kobject_uevent.c.
ACTIONS = ["add", "remove", "change", "move", "online", "offline", "bind", "unbind"]

BPF_MAXINSNS = 4096  # include/uapi/linux/bpf_common.h

PREFIXES = list(DEVPATHS.values())

# Characters of device paths, few enough that prefixes are often hit.
PATHS = st.one_of(
    st.tuples(st.sampled_from(PREFIXES), st.text("cpumery0123/", max_size=12)).map("".join),
    st.text("/devicsytm", max_size=40).map(lambda text: f"/{text}"),
    st.sampled_from(PREFIXES).flatmap(lambda prefix: st.integers(0, len(prefix)).map(lambda n: prefix[:n])),
)


def run(code: list[Instruction], packet: bytes) -> int:
    """What the kernel's interpreter returns for a packet (Documentation/networking/filter.rst).

    A load beyond the end of the packet ends the program with 0. A jump or an end outside of the program, or an
    instruction that is not one of ours, is an error: the kernel would refuse such a program.
    """
    accumulator, at = 0, 0
    while True:
        instruction = code[at]
        at += 1
        size = {0x20: 4, 0x28: 2, 0x30: 1}.get(instruction.code)
        if size is not None:
            if instruction.value + size > len(packet):
                return 0
            accumulator = int.from_bytes(packet[instruction.value : instruction.value + size], "big")
        elif instruction.code == JEQ:
            at += instruction.if_true if accumulator == instruction.value else instruction.if_false
        elif instruction.code == JA:
            at += instruction.value
        elif instruction.code == RET:
            return instruction.value
        else:
            raise AssertionError(f"unknown instruction {instruction}")


def uevent(action: str, path: str, rest: str = "SUBSYSTEM=x") -> bytes:
    """As kobject_uevent_net_broadcast() sends it."""
    fields = [f"ACTION={action}", f"DEVPATH={path}", rest, "SEQNUM=4711"]
    return f"{action}@{path}\0".encode() + b"".join(f"{field}\0".encode() for field in fields)


def wanted(packet: bytes) -> bool:
    """What the filter is meant to do, in Python."""
    for length in ACTION_LENGTHS:
        if length >= len(packet):
            return False  # too short to be a uevent
        if packet[length : length + 1] == b"@":
            return any(packet.startswith(prefix.encode(), length + 1) for prefix in PREFIXES)
    return True  # nothing like a uevent


def test_every_action_of_the_kernel_has_a_length_that_is_looked_for() -> None:
    assert {len(action) for action in ACTIONS} == set(ACTION_LENGTHS)


@given(st.sampled_from(ACTIONS), PATHS)
def test_uevents_below_our_paths_pass_and_no_other_does(action: str, path: str) -> None:
    passed = run(program(PREFIXES), uevent(action, path)) != 0
    assert passed == path.startswith(tuple(PREFIXES))


@given(st.sampled_from(ACTIONS), st.lists(st.text("/abc", min_size=1, max_size=9), min_size=1, max_size=4), st.data())
def test_that_holds_for_any_prefixes(action: str, prefixes: list[str], data: st.DataObject) -> None:
    path = data.draw(st.text("/abc", max_size=12) | st.sampled_from(prefixes))
    passed = run(program(prefixes), uevent(action, path)) != 0
    assert passed == path.startswith(tuple(prefixes))


@given(st.binary(max_size=60))
@example(b"")
@example(b"add@")
@example(b"offline")
@example(b"libudev\x00\xfe\xed\xca\xfe")
def test_any_bytes_at_all_get_the_answer_that_is_meant(packet: bytes) -> None:
    assert (run(program(PREFIXES), packet) != 0) == wanted(packet)


@given(st.sampled_from(ACTIONS), PATHS, st.integers(0, 80))
def test_a_message_that_is_cut_anywhere_gets_the_answer_that_is_meant(action: str, path: str, end: int) -> None:
    packet = uevent(action, path)[:end]
    assert (run(program(PREFIXES), packet) != 0) == wanted(packet)


@given(st.lists(st.text("/abc", min_size=1, max_size=200), max_size=8))
def test_every_program_is_one_that_the_kernel_takes(prefixes: list[str]) -> None:
    code = program(prefixes)
    assert len(code) <= BPF_MAXINSNS
    assert code[-1].code == RET
    for at, instruction in enumerate(code):
        assert 0 <= instruction.if_true <= 255
        assert 0 <= instruction.if_false <= 255
        if instruction.code == JEQ:
            assert at + 1 + max(instruction.if_true, instruction.if_false) < len(code)
        if instruction.code == JA:
            assert at + 1 + instruction.value < len(code)
    assert [Instruction(*fields) for fields in struct.iter_unpack("=HBBI", assemble(code))] == code
