# SPDX-License-Identifier: GPL-2.0-or-later
import time
from pathlib import Path

import pytest

from kdumphpd.reload.gap import GapMeter
from tests.unit.trees import CRASH_LOADED, kernel


def say(root: Path, text: str) -> None:
    """As the kernel does, in the file that is open."""
    with (root / CRASH_LOADED).open("r+") as file:
        file.write(text)


def test_while_an_image_is_there_nothing_is_counted(tmp_path: Path) -> None:
    kernel(tmp_path)
    with GapMeter(tmp_path) as meter:
        time.sleep(0.05)
    assert meter.unprotected == 0.0
    assert meter.seconds > 0


def test_the_time_without_one_is_part_of_the_whole(tmp_path: Path) -> None:
    kernel(tmp_path)
    with GapMeter(tmp_path) as meter:
        say(tmp_path, "0\n")
        time.sleep(0.05)
        say(tmp_path, "1\n")
        time.sleep(0.05)
    assert 0 < meter.unprotected < meter.seconds


def test_what_cannot_be_read_is_not_counted(tmp_path: Path) -> None:
    kernel(tmp_path, loaded="")
    with GapMeter(tmp_path) as meter:
        time.sleep(0.02)
    assert meter.unprotected == 0.0


def test_a_loader_that_fails_is_measured_too_and_its_error_goes_on(tmp_path: Path) -> None:
    meter = GapMeter(kernel(tmp_path))
    with pytest.raises(ZeroDivisionError), meter:
        raise ZeroDivisionError
    assert meter.seconds > 0
