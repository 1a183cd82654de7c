# SPDX-License-Identifier: GPL-2.0-or-later
"""The ticks of a time axis, for a second or for years, in local time. Pure but for the time zone."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

HOUR = 3600.0
# Steps in seconds within an hour, in hours within a fortnight, in months beyond.
SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)
HOURS = (1, 2, 3, 6, 12, 24, 48, 168, 336)
MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120, 600)

MOST = 10  # ticks


@dataclass(frozen=True, slots=True)
class Tick:
    """`at`: seconds since the epoch. `over` is the larger unit, where a new one begins."""

    at: float
    label: str
    over: str = ""


def ticks(begin: float, end: float) -> list[Tick]:
    """At most MOST ticks or one more from `begin` to `end`, at round local times."""
    length = max(end - begin, 1e-3)
    for step in SECONDS:
        if length / step <= MOST:
            return _labelled(_seconds(begin, end, step), "%H:%M:%S" if step < 60 else "%H:%M")
    for hours in HOURS:
        if length / (hours * HOUR) <= MOST:
            return _labelled(_hours(begin, end, hours), "%H:%M" if hours < 24 else None)
    months = next((step for step in MONTH_STEPS if length / (step * 730 * HOUR) <= MOST), MONTH_STEPS[-1])
    return _labelled(_months(begin, end, months), "month" if months < 12 else "year")


def _seconds(begin: float, end: float, step: int) -> Iterator[float]:
    offset = time.localtime(begin).tm_gmtoff
    at = ((begin + offset) // step) * step - offset
    while at <= end:
        if at >= begin:
            yield at
        at += step


def _hours(begin: float, end: float, step: int) -> Iterator[float]:
    # By the calendar: a day may have 23 hours.
    start, before = time.localtime(begin), begin - 1
    for hour in itertools.count(0, step):
        at = time.mktime((start.tm_year, start.tm_mon, start.tm_mday, hour, 0, 0, 0, 0, -1))
        if at > end:
            return
        if at >= begin and at != before:
            yield at
            before = at


def _months(begin: float, end: float, step: int) -> Iterator[float]:
    start = time.localtime(begin)
    month = (start.tm_year * 12 + start.tm_mon - 1) // step * step
    while (at := time.mktime((month // 12, month % 12 + 1, 1, 0, 0, 0, 0, 0, -1))) <= end:
        if at >= begin:
            yield at
        month += step


def _labelled(moments: Iterator[float], form: str | None) -> list[Tick]:
    """`form`: strftime's, "month", "year", or None for days."""
    found, before = [], ""
    for at in moments:
        local = time.localtime(at)
        day, year = f"{local.tm_mday} {MONTHS[local.tm_mon - 1]}", str(local.tm_year)
        if form == "year":
            label, over = year, ""
        elif form == "month":
            label, over = MONTHS[local.tm_mon - 1], year
        elif form is None:
            label, over = day, year
        else:
            label, over = time.strftime(form, local), f"{day} {year}"
        found.append(Tick(at, label, over if over != before else ""))
        before = over
    return found
