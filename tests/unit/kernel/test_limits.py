# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel refuses to load, and what changes that."""

from pathlib import Path

import pytest

from kdumphpd.kernel.limits import DISABLED, LIMIT, LOCKDOWN, read_limits
from tests.unit.trees import put


def test_a_kernel_without_any_of_it_refuses_nothing(tmp_path: Path) -> None:
    limits = read_limits(tmp_path)
    assert (limits.refusal, limits.calls, limits.locked_down) == ("", None, False)


def test_loading_that_was_switched_off_needs_a_reboot(tmp_path: Path) -> None:
    put(tmp_path, {DISABLED: "1\n"})
    assert "only a reboot changes that" in read_limits(tmp_path).refusal


@pytest.mark.parametrize(("text", "calls", "refused"), [("-1", None, False), ("0", 0, True), ("1", 1, False)])
def test_a_limit_of_loads_is_known(tmp_path: Path, text: str, calls: int | None, refused: bool) -> None:
    put(tmp_path, {LIMIT: f"{text}\n"})
    limits = read_limits(tmp_path)
    assert (limits.calls, bool(limits.refusal)) == (calls, refused)


@pytest.mark.parametrize(
    ("text", "locked"),
    [("[none] integrity confidentiality", False), ("none [integrity] confidentiality", True), ("", False)],
)
def test_lockdown_is_read_from_the_kernels_own_list(tmp_path: Path, text: str, locked: bool) -> None:
    put(tmp_path, {LOCKDOWN: f"{text}\n"})
    assert read_limits(tmp_path).locked_down is locked
