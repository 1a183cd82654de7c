# SPDX-License-Identifier: GPL-2.0-or-later
from tests.unit.leftovers import leaves_nothing_behind

__all__ = ["leaves_nothing_behind"]
