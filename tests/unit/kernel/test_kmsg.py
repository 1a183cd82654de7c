# SPDX-License-Identifier: GPL-2.0-or-later
import os
import threading
from pathlib import Path

import pytest

from kdumphpd.kernel.kmsg import KMSG, KernelError, kernel_errors, parse

BUSY = "crash hp: kexec_trylock() failed, kdump image may be inaccurate"


def record(text: str, sequence: int = 42, priority: int = 4, more: str = "") -> bytes:
    """As Documentation/ABI/testing/dev-kmsg has it."""
    return f"{priority},{sequence},1234567,-{more};{text}\n".encode()


def test_a_failed_update_is_a_kernel_error() -> None:
    assert parse(record(BUSY)) == KernelError(42, BUSY)


def test_what_somebody_else_wrote_into_the_buffer_is_no_kernel_error() -> None:
    assert parse(record(BUSY, priority=8 + 4)) is None  # LOG_USER, what a write to /dev/kmsg gets at least


def test_further_fields_and_lines_do_not_matter() -> None:
    line = record(BUSY, more=",caller=T1,later=kernels")
    assert parse(line + b" SUBSYSTEM=cpu\n DEVICE=+cpu:cpu1\n") == KernelError(42, BUSY)


def test_what_goes_well_is_said_at_debug_level_and_is_no_kernel_error() -> None:
    assert parse(record("crash hp: hp_action 1, cpu 3", priority=7)) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b";",
        b"4,42;crash hp: short of a field\n",
        b"x,42,1,-;crash hp: no priority\n",
        b"4,x,1,-;crash hp: no sequence\n",
        b"\xff\xfe\x00",
        record("something about crash hp: "),
        record("usb 1-1: new device"),
    ],
)
def test_any_other_message_is_none(line: bytes) -> None:
    assert parse(line) is None


def test_a_ring_buffer_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        kernel_errors(tmp_path)


def test_a_pipe_that_gives_one_record_a_read_is_read_to_its_end(tmp_path: Path) -> None:
    # A FIFO gives records back as they were written, if the reader takes one before the next is there.
    (tmp_path / "dev").mkdir()
    os.mkfifo(tmp_path / KMSG)
    ready = threading.Event()

    def write() -> None:
        with (tmp_path / KMSG).open("wb", buffering=0) as pipe:
            pipe.write(record(BUSY, 7))
            ready.set()
            os.read(stop[0], 1)

    stop = os.pipe()
    writer = threading.Thread(target=write)
    keeper = os.open(tmp_path / KMSG, os.O_RDONLY | os.O_NONBLOCK)
    writer.start()
    try:
        ready.wait()
        assert kernel_errors(tmp_path) == [KernelError(7, BUSY)]
    finally:
        os.close(stop[1])
        writer.join()
        os.close(stop[0])
        os.close(keeper)


def test_the_real_ring_buffer_is_read_without_waiting() -> None:
    try:
        found = kernel_errors(Path("/"))
    except OSError as error:  # kernel.dmesg_restrict
        pytest.skip(f"/dev/kmsg may not be read here: {error}")
    if found:
        assert kernel_errors(Path("/"), found[-1].sequence) == []
