# SPDX-License-Identifier: GPL-2.0-or-later
"""A Schedule that has nothing open."""

import pytest

from kdumphpd.listener.schedule import Schedule
from kdumphpd.protocol import Request
from tests.unit.listener.schedules import CURRENT


@pytest.fixture
def schedule() -> Schedule:
    """After its first check, at 0."""
    schedule = Schedule()
    schedule.start(0)
    ask = schedule.due(0)
    assert ask is not None
    assert (ask.request, ask.why) == (Request.CHECK, "kdumphpd started")
    schedule.answered(CURRENT, 0)
    return schedule
