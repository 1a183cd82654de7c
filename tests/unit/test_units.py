# SPDX-License-Identifier: GPL-2.0-or-later
from collections.abc import Sequence

import pytest

from kdumphpd.reload.run import LoadFailed
from kdumphpd.reload.units import active_states, last_changes, wait_until_idle


def test_a_unit_that_is_at_work_is_waited_for() -> None:
    answers = [["active", "activating"], ["deactivating", "active"], ["active", "inactive"]]

    def states(units: Sequence[str]) -> list[str]:
        assert units == ("a.service", "b.service")
        return answers.pop(0)

    assert wait_until_idle(("a.service", "b.service"), 30, states)
    assert answers == []


@pytest.mark.parametrize("state", ["active", "inactive", "failed"])
def test_one_that_is_done_is_not(state: str) -> None:
    assert not wait_until_idle(("a.service",), 30, lambda units: [state])


def test_without_units_nobody_is_asked() -> None:
    assert not wait_until_idle((), 30, lambda units: pytest.fail("asked"))


def test_one_that_takes_too_long_is_named() -> None:
    with pytest.raises(LoadFailed, match=r"kdump\.service has been activating for 0\.2 s"):
        wait_until_idle(("kdump.service",), 0.2, lambda units: ["activating"])


def test_where_systemd_does_not_answer_nothing_is_waited_for() -> None:
    assert active_states(["no such unit"]) in ([], ["inactive"])
    assert last_changes(["no such unit"]) in ([], ["0"])
