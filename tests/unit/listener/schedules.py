# SPDX-License-Identifier: GPL-2.0-or-later
"""What a test gives to a Schedule, and what it asks of it."""

import pytest

from kdumphpd.kernel.crash_hotplug import Subsystem
from kdumphpd.listener.coalesce import Uevent
from kdumphpd.listener.schedule import Ask, Schedule
from kdumphpd.protocol import Outcome, Result

CURRENT = Result(Outcome.CURRENT, armed=True)


def online(block: int) -> Uevent:
    return Uevent(Subsystem.MEMORY, "online", block)


def due(schedule: Schedule, at: float) -> Ask:
    """What is asked at `at`, and nothing before."""
    deadline = schedule.deadline()
    assert deadline is not None
    assert schedule.due(deadline - 0.001) is None
    assert deadline == pytest.approx(at)
    ask = schedule.due(at)
    assert ask is not None
    return ask
