# SPDX-License-Identifier: GPL-2.0-or-later
"""An image that moves while it is read, and one that is away."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd.image import examine as examine_module
from kdumphpd.image import reader
from kdumphpd.image.errors import Cause, UnreadableError
from kdumphpd.image.examine import examine
from kdumphpd.image.kcore import Kcore, open_kcore
from kdumphpd.image.layout import Layout
from kdumphpd.image.machine import read_machine
from kdumphpd.image.ranges import Range
from kdumphpd.image.reader import inspect
from kdumphpd.image.verdict import ImageState
from tests.unit.image import builder
from tests.unit.image.builder import DIMM, MIB, Kernel, no_sleep

# The hook runs between the two looks that have to agree.


@pytest.fixture
def between_looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Callable[[], object]]], None]:
    def install(hooks: list[Callable[[], object]]) -> None:
        look = reader.snapshot
        looks = 0

        def hooked(memory: Kcore, layout: Layout) -> reader.Image | None:
            nonlocal looks
            looks += 1
            if looks % 2 == 0 and hooks:
                hooks.pop(0)()
            return look(memory, layout)

        @contextmanager
        def reopened(root: Path) -> Iterator[Kcore]:
            # A file that is written anew is another file; the real one is always the same memory.
            with open_kcore(root) as kcore:
                yield replace(kcore, pread=lambda n, at: (root / "proc/kcore").read_bytes()[at : at + n])

        monkeypatch.setattr(reader, "snapshot", hooked)
        monkeypatch.setattr(reader, "open_kcore", reopened)

    return install


def test_an_update_between_two_looks_is_noticed_and_the_updated_image_returned(
    tmp_path: Path, between_looks: Callable[[list[Callable[[], object]]], None]
) -> None:
    kernel = Kernel(tmp_path).write()

    def update() -> None:
        kernel.ram += (DIMM,)
        kernel.loads += (DIMM,)
        kernel.write()

    between_looks([update])
    image = inspect(tmp_path, sleep=no_sleep)
    assert image is not None
    assert image.elfcorehdr is not None
    assert Range(*DIMM) in image.elfcorehdr.loads


def test_an_image_unloaded_between_two_looks_is_none(
    tmp_path: Path, between_looks: Callable[[list[Callable[[], object]]], None]
) -> None:
    kernel = Kernel(tmp_path).write()
    between_looks([replace(kernel, pointer=False, loaded=False).write])
    assert inspect(tmp_path, sleep=no_sleep) is None


def test_an_image_that_never_stands_still_is_unreadable_not_misread(
    tmp_path: Path, between_looks: Callable[[list[Callable[[], object]]], None]
) -> None:
    kernel = Kernel(tmp_path).write()
    between_looks([replace(kernel, notes=(0x3000 + n,)).write for n in range(reader.ATTEMPTS)])
    with pytest.raises(UnreadableError) as caught:
        inspect(tmp_path, sleep=no_sleep)
    assert caught.value.reason is Cause.INCONSISTENT


@pytest.mark.parametrize(
    "segments",
    [
        ((0x9000_0000, MIB, 100),),  # outside of the reservation
        ((builder.RESERVED[0] - 4096, MIB, 100),),  # only partly inside
        ((builder.ELF_AT, 1 << 63, 100),),
    ],
)
def test_segments_that_the_kernel_would_have_refused_are_not_believed(
    tmp_path: Path, segments: tuple[tuple[int, int, int], ...]
) -> None:
    Kernel(tmp_path, segments=segments).write()
    with pytest.raises(UnreadableError) as caught:
        inspect(tmp_path, sleep=no_sleep)
    assert caught.value.reason is Cause.INCONSISTENT


def test_memory_that_came_online_between_image_and_machine_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(tmp_path).write()
    machines = 0

    def racing(root: Path, described: tuple[Range, ...] = ()) -> object:
        nonlocal machines
        machines += 1
        if machines == 1:
            kernel.ram += (DIMM,)
            kernel.loads += (DIMM,)
            kernel.write()
        return read_machine(root, described)

    monkeypatch.setattr(examine_module, "read_machine", racing)
    assert examine(tmp_path, sleep=no_sleep)[1].state is ImageState.CURRENT
