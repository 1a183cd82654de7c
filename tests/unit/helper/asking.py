# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking the helper on a machine of world.py."""

import copy

from kdumphpd.config import Config
from kdumphpd.helper.serve import serve
from kdumphpd.protocol import Request, Result
from tests.unit.helper.world import FakeSystem, World

CONFIG = Config()


def silent(step: str) -> None:
    """Nobody wants to know."""


def ask(world: World, request: Request = Request.UPDATE, config: Config = CONFIG) -> Result:
    """Serve a request on this machine."""
    return serve(request, FakeSystem(world), copy.deepcopy(world.record), config, silent)
