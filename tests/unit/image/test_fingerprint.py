# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine's fingerprint, which stands in for an image that can't be read."""

import json
from pathlib import Path

import pytest

from kdumphpd.image.errors import UnreadableError
from kdumphpd.image.fingerprint import MAX_RANGES, Fingerprint, change, read_fingerprint
from kdumphpd.image.ranges import Range
from tests.unit.image.builder import GIB, MIB, Kernel

BOOT = Fingerprint((Range(0, GIB - 1),), "0-1")


def scattered(count: int) -> Fingerprint:
    return Fingerprint(tuple(Range(n * GIB, n * GIB + MIB - 1) for n in range(count)), "0")


def test_nothing_has_changed_on_the_same_machine() -> None:
    assert not change(BOOT, BOOT)
    assert change(BOOT, BOOT).sentence() == ""


def test_what_was_added_and_removed_is_told_apart() -> None:
    now = Fingerprint((Range(0, GIB // 2 - 1), Range(GIB, 3 * GIB - 1)), "0,2")
    found = change(BOOT, now)
    assert (found.ram_added, found.ram_removed) == (2 * GIB, GIB // 2)
    assert (found.cpus_added, found.cpus_removed) == ("2", "1")
    assert found.sentence() == (
        "2 GiB of memory and CPU 2 were added, 512 MiB of memory and CPU 1 were removed since the image was loaded"
    )


def test_it_survives_json_and_stays_small_whatever_the_machine() -> None:
    for known in (BOOT, scattered(MAX_RANGES), scattered(10_000)):
        text = json.dumps(known.to_json())
        assert len(text) < 2500
        assert not change(Fingerprint.from_json(json.loads(text)), known)


def test_where_only_a_digest_is_kept_any_difference_counts_as_memory_removed() -> None:
    kept = Fingerprint.from_json(scattered(10_000).to_json())
    assert change(kept, scattered(10_001)).ram_added == MIB
    assert change(kept, scattered(10_001)).ram_removed
    assert change(kept, scattered(10_001)).sentence() == (
        "1 MiB of memory was added, perhaps some memory was removed since the image was loaded"
    )
    assert change(kept, scattered(9_999)).ram_removed == MIB


def test_a_list_of_cpus_too_long_to_be_kept_is_compared_by_its_digest() -> None:
    every_other = Fingerprint((), ",".join(str(n) for n in range(0, 2000, 2)))
    kept = Fingerprint.from_json(json.loads(json.dumps(every_other.to_json())))
    assert kept.to_json() == every_other.to_json()
    assert not change(kept, every_other)
    less = Fingerprint((), every_other.cpus.removesuffix(",1998"))
    assert change(kept, less).sentence() == "a CPU was added, a CPU was removed since the image was loaded"


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], {}, {"ram": 3, "cpus": ""}, {"ram": [[1]], "cpus": "0"}, {"cpus": "x"}),
        {"ram": [[0, float("inf")]], "cpus": "0"},
        {"ram": [], "cpus": "0-99999999999"},
    ],
)
def test_what_is_no_fingerprint_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Fingerprint.from_json(value)


def test_memory_counts_only_where_an_online_block_covers_it(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, ram=((MIB, GIB - 1), (2 * GIB, 3 * GIB - 1)), block=128 * MIB)
    kernel.offline, kernel.absent = (16,), (17,)
    kernel.write()
    present = tmp_path / "sys/devices/system/cpu/present"
    present.write_text("0-1\n")
    assert read_fingerprint(tmp_path) == Fingerprint(
        (Range(MIB, GIB - 1), Range(2 * GIB + 256 * MIB, 3 * GIB - 1)), "0-1"
    )


def test_what_cant_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError):
        read_fingerprint(tmp_path)
