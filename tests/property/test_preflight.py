# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever the bytes of a kernel or an initrd: they pass or are Damaged; the whole ones pass, and a cut is found."""

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kdumphpd.reload import initrd, kernel_file, preflight
from kdumphpd.reload.content import CutShort, Damaged
from kdumphpd.reload.run import NotReady
from tests.unit.reload.archives import COMPRESSED, SINGLE, content, early, end_of_trailer, packed, tree
from tests.unit.reload.test_kernel_file import ELFS, bzimage

MAGICS = [archive.magic for archive in initrd.ARCHIVES]
SEEDS = [
    *(packed(kind, 300) for kind in COMPRESSED),
    tree(300),
    bzimage(1024, 1 << 20),
    *(elf.file((1, 100, 200), (4, 10, 10), kind=kind) for elf, kind in ELFS),
]


ARCHIVES = st.builds(packed, st.sampled_from(list(SINGLE)), st.sampled_from([300, 70_000]))
PADDING = st.integers(1, 300).map(lambda n: bytes(4 * n))


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A real file with a few bytes changed, taken out or put in."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, min(len(data), 200)) | st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 12))] = draw(st.binary(max_size=12))
    return bytes(data)


def look(data: bytes) -> None:
    with suppress(Damaged):
        initrd.check(content(data))
    with suppress(Damaged):
        assert kernel_file.memory(content(data)) >= 0


@given(st.binary(max_size=600) | st.builds(bytes.__add__, st.sampled_from(MAGICS), st.binary(max_size=600)))
@example(b"")
@example(b"070701" + b"F" * 104)
@example(b"\x28\xb5\x2f\xfd\xff" + b"\xff" * 20)
@example(b"\x50\x2a\x4d\x18\xff\xff\xff\xff")
@settings(max_examples=500)
def test_any_bytes_pass_or_are_damaged(data: bytes) -> None:
    look(data)


@given(mutations())
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_any_mistake_in_a_file_passes_or_is_damage(data: bytes) -> None:
    look(data)


@given(st.data(), st.lists(st.tuples(ARCHIVES, PADDING), min_size=1, max_size=4), st.booleans())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_archives_in_a_row_pass_and_a_cut_in_any_of_them_is_found(
    data: st.DataObject, parts: list[tuple[bytes, bytes]], has_early: bool
) -> None:
    whole = early() if has_early else b""
    inside = [(0, end_of_trailer(whole))] if has_early else []
    for archive, padding in parts:
        inside.append((len(whole), len(whole) + len(archive)))
        whole += archive + padding + bytes(-(len(archive) + len(padding)) % 4)
    initrd.check(content(whole))
    start, end = data.draw(st.sampled_from(inside))
    at = data.draw(st.integers(start + 1, end - 1))
    with pytest.raises(CutShort):
        initrd.check(content(whole[:at]))


@given(mutations(), mutations(), st.none() | st.integers(0, 1 << 30))
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_of_files_nothing_but_not_ready_comes_out(kernel: bytes, image: bytes, reservation: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "kernel").write_bytes(kernel)
        (root / "initrd").write_bytes(image)
        with suppress(NotReady):
            preflight.check(root, Path("/kernel"), Path("/initrd"), reservation)
