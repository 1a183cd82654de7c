# SPDX-License-Identifier: GPL-2.0-or-later
"""A classic BPF program that lets only the uevents of some device paths through to a socket.

A kernel uevent begins ``ACTION@DEVPATH\\0`` (lib/kobject_uevent.c, kobject_uevent_net_broadcast()). The
action's length varies, so every length that the kernel's actions have is tried. What does not look like a
uevent passes: better to wake once too often than to go deaf on a kernel that says something new.
"""

import ctypes
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

# Source: include/uapi/linux/bpf_common.h
LD_W_ABS, LD_H_ABS, LD_B_ABS = 0x20, 0x28, 0x30
JEQ, JA, RET = 0x15, 0x05, 0x06
PASS = 0xFFFFFFFF  # deliver this many bytes: all
DROP = 0

SO_ATTACH_FILTER = 26  # include/uapi/asm-generic/socket.h; not in the socket module

# The lengths of add, move, bind / change, remove, online, unbind / offline: kobject_actions[].
ACTION_LENGTHS = (3, 4, 6, 7)


class Instruction(NamedTuple):
    """struct sock_filter. Jumps are relative to the next instruction."""

    code: int
    if_true: int
    if_false: int
    value: int


def _load(offset: int, length: int) -> Instruction:
    return Instruction({4: LD_W_ABS, 2: LD_H_ABS, 1: LD_B_ABS}[length], 0, 0, offset)


def _chunks(text: bytes) -> list[bytes]:
    """`text` in pieces of 4, 2 and 1 bytes: what one load can compare."""
    pieces = []
    while text:
        size = next(n for n in (4, 2, 1) if n <= len(text))
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def _match(offset: int, prefix: bytes) -> list[Instruction]:
    """Return PASS if the packet has `prefix` at `offset`, else fall through.

    A load beyond the end of the packet ends the program with DROP: too short for the prefix.
    """
    pieces = _chunks(prefix)
    code = []
    for index, piece in enumerate(pieces):
        left = 2 * (len(pieces) - index) - 1  # instructions of this match after the comparison
        code += [_load(offset, len(piece)), Instruction(JEQ, 0, left, int.from_bytes(piece, "big"))]
        offset += len(piece)
    return [*code, Instruction(RET, 0, 0, PASS)]


def program(prefixes: Sequence[str]) -> list[Instruction]:
    """Instructions that pass uevents whose device path begins with one of `prefixes` (ASCII)."""
    code: list[Instruction] = []
    for length in ACTION_LENGTHS:
        body = [step for prefix in prefixes for step in _match(length + 1, prefix.encode("ascii"))]
        body.append(Instruction(RET, 0, 0, DROP))
        # A conditional jump reaches 255 instructions; an unconditional one any number.
        code += [
            _load(length, 1),
            Instruction(JEQ, 1, 0, ord("@")),
            Instruction(JA, 0, 0, len(body)),
            *body,
        ]
    return [*code, Instruction(RET, 0, 0, PASS)]


def assemble(code: Sequence[Instruction]) -> bytes:
    """The instructions as the kernel's array of struct sock_filter."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def attach(sock: socket.socket, code: Sequence[Instruction]) -> None:
    """Make `sock` drop what `code` does not pass, replacing any filter it has. Raises OSError."""
    filters = ctypes.create_string_buffer(assemble(code))
    # struct sock_fprog: a count, padding as the ABI has it, a pointer.
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(code), ctypes.addressof(filters)))
