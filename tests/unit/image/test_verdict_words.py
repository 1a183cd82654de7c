# SPDX-License-Identifier: GPL-2.0-or-later
"""The verdict in words and in JSON, and whether two of them say the same."""

import json
from dataclasses import replace

import pytest

from kdumphpd.image.errors import Cause
from kdumphpd.image.fdt import CpuNode, Fdt
from kdumphpd.image.ranges import Range
from kdumphpd.image.verdict import ImageState, Verdict, judge
from tests.unit.image.machines import DIMM, GIB, IMAGE, LOW, MIB, RESERVED, with_ram

CURRENT = Verdict(ImageState.CURRENT)
FDT = Fdt(4096, 100, (CpuNode("PowerPC,POWER9@0", (0, 1, 2, 3), 700),))


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (CURRENT, "the loaded image describes the machine as it is now"),
        (Verdict(ImageState.NO_IMAGE), "no kdump image is loaded"),
        (
            Verdict(ImageState.STALE, missing=(Range(4 * GIB, 6 * GIB - 1),)),
            "0x100000000-0x17fffffff (2 GiB) is missing from the elfcorehdr",
        ),
        (
            Verdict(ImageState.STALE, gone=(DIMM, Range(0, 4095)), cpus_without_note=(2, 3, 5), cpus_not_in_fdt=(3,)),
            "0x100000000-0x13fffffff (1 GiB) and 0x0-0xfff (4 KiB) are in the elfcorehdr but no longer in the "
            "machine; no note in the elfcorehdr for CPU 2-3,5; CPU 3 not in the FDT",
        ),
        (
            Verdict(ImageState.UNREADABLE, reason=Cause.LOCKDOWN, detail="lockdown keeps /proc/kcore shut"),
            "the loaded image cannot be read: lockdown keeps /proc/kcore shut",
        ),
    ],
)
def test_the_verdict_in_words(verdict: Verdict, sentence: str) -> None:
    assert verdict.sentence() == sentence


def test_many_ranges_are_summed_up() -> None:
    ranges = tuple(Range(n * GIB, n * GIB + 512 * MIB - 1) for n in range(4, 24))
    sentence = Verdict(ImageState.STALE, missing=ranges).sentence()
    assert sentence.endswith("and 12 more ranges (6 GiB) are missing from the elfcorehdr")
    assert sentence.count("0x") == 16


def test_image_and_verdict_are_ready_for_json() -> None:
    image = json.loads(json.dumps(replace(IMAGE, fdt=FDT).to_dict()))
    assert image["elfcorehdr"]["loads"][0] == [MIB, RESERVED.start - 1]
    assert image["kimage"]["segments"] == [{"mem": RESERVED.start, "memsz": MIB, "bufsz": 4096}]
    assert (image["kimage"]["updatable"], image["fdt"]["room"]) == (True, 0)
    verdict = json.loads(json.dumps(judge(IMAGE, with_ram(*LOW, DIMM)).to_dict()))
    assert (verdict["state"], verdict["missing"]) == ("stale", [[4 * GIB, 5 * GIB - 1]])


A, B = Range(4 * GIB, 5 * GIB - 1), Range(6 * GIB, 7 * GIB - 1)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (
            Verdict(ImageState.STALE, missing=(A,)),
            Verdict(ImageState.STALE, missing=(Range(A.end, A.end + 10),)),
            True,
        ),
        (Verdict(ImageState.STALE, missing=(A,)), Verdict(ImageState.STALE, missing=(B,)), False),
        (Verdict(ImageState.STALE, missing=(A,)), Verdict(ImageState.STALE, gone=(A,)), False),
        (Verdict(ImageState.STALE, gone=(A, B)), Verdict(ImageState.STALE, gone=(B,)), True),
        (
            Verdict(ImageState.STALE, cpus_without_note=(1, 2)),
            Verdict(ImageState.STALE, cpus_without_note=(2,)),
            True,
        ),
        (Verdict(ImageState.STALE, cpus_not_in_fdt=(1,)), Verdict(ImageState.STALE, cpus_not_in_fdt=(1,)), True),
        (Verdict(ImageState.STALE, cpus_not_in_fdt=(1,)), Verdict(ImageState.STALE, cpus_without_note=(1,)), False),
        (Verdict(ImageState.STALE, missing=(A,)), CURRENT, False),
        (CURRENT, CURRENT, False),
    ],
)
def test_a_fault_is_shared_where_the_same_thing_is_wrong(one: Verdict, other: Verdict, *, shared: bool) -> None:
    assert one.shares_a_fault(other) is shared
    assert other.shares_a_fault(one) is shared
