# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine whose image is right, safe and updated by the kernel; and one whose image can't be read."""

import pytest

from tests.unit.helper.world import World


@pytest.fixture
def world() -> World:
    world = World()
    world.image = world.new_image(updatable=True, safe=True)
    return world


@pytest.fixture
def hidden(world: World) -> World:
    world.readable = False
    return world
