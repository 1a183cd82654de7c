# SPDX-License-Identifier: GPL-2.0-or-later
"""What a bench measures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One row of build/bench/results.json."""

    name: str
    value: float
    unit: str
    what: str
