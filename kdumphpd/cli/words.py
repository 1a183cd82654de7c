# SPDX-License-Identifier: GPL-2.0-or-later
"""How numbers and moments are written, whichever verb shows them. Pure but for the time zone."""

import time

YEAR_10000 = 253_402_300_800 - 86_400  # seconds since the epoch; a day less, for every time zone


def count(number: int, noun: str) -> str:
    """ "1 burst", "2 bursts"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def moment(seconds: float, zone: str = "") -> str:
    """Local time to the second, with "%z" as `zone` its offset too. What a daemon wrote may be no moment at all."""
    if not 0 < seconds < YEAR_10000:
        return "an unknown time"
    return time.strftime(f"%Y-%m-%d %H:%M:%S{zone}", time.localtime(seconds))
