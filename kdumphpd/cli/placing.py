# SPDX-License-Identifier: GPL-2.0-or-later
"""When the entries of a journal were written, whatever the clock on the wall was set to meanwhile. Pure.

The realtime clock is set: from 1970 or a firmware's date once the network is there, or back by an operator. Within a
boot the monotonic clock tells how far apart two entries are, and the boot's last realtime stamp tells when that was,
for the clock has been set by then. Boots are in the journal's order and can't overlap.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from kdumphpd.cli.entries import Entry

EARLIEST = 1_672_531_200.0  # 2023-01-01; kdumphpd is younger, so a clock before that is wrong
SLACK = 60.0  # seconds by which a clock may differ after a reboot


@dataclass(frozen=True, slots=True)
class _Boot:
    entries: Sequence[Entry]
    begin: float
    end: float


def place(entries: Iterable[Entry], now: float | None, monotonic: float) -> tuple[list[Entry], float | None]:
    """The entries with the `when` at which they belong, and `now` likewise: the oldest first.

    `now`, `monotonic`: both clocks at this moment, where the last entry is of the running boot; `now` is None where
    it is not, `monotonic` 0 where that is not known.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.boot, []).append(entry)
    if not groups:
        return [], now
    last = list(groups)[-1]
    boots = [_boot(group, now if boot == last else None, monotonic) for boot, group in groups.items()]
    shifts = _shifts(boots)
    placed = [
        replace(entry, when=entry.when + shift)
        for boot, shift in zip(boots, shifts, strict=True)
        for entry in boot.entries
    ]
    return placed, None if now is None else now + shifts[-1]


def _boot(entries: list[Entry], now: float | None, monotonic: float) -> _Boot:
    if all(entry.monotonic for entry in entries):
        entries = sorted(entries, key=lambda entry: entry.monotonic)
    at, clock = (entries[-1].when, entries[-1].monotonic) if now is None else (now, monotonic)
    end = at
    placed = []
    for entry in reversed(entries):
        # Without the monotonic clock the order of the journal is all there is.
        known = entry.monotonic and clock
        at = at - max(0.0, clock - entry.monotonic) if known else min(at, entry.when)
        clock = entry.monotonic
        placed.append(replace(entry, when=at))
    placed.reverse()
    return _Boot(placed, min(entry.when - entry.elapsed for entry in placed), end)


def _shifts(boots: Sequence[_Boot]) -> list[float]:
    """Seconds by which each boot is moved, so that none begins before the last one has ended."""
    right = _right(boots)
    shifts = [0.0] * len(boots)
    limit = boots[max(right)].end
    for index in range(max(right), -1, -1):
        boot = boots[index]
        end = min(boot.end, limit) if index in right else limit
        shifts[index] = end - boot.end
        limit = boot.begin + shifts[index]
    for index in range(max(right) + 1, len(boots)):
        shifts[index] = boots[index - 1].end + shifts[index - 1] - boots[index].begin
    return shifts


def _right(boots: Sequence[_Boot]) -> set[int]:
    """The boots whose clock was right: the most that agree with each other, and rather the later ones."""
    chains: dict[int, tuple[int, ...]] = {}

    def longest(found: list[tuple[int, ...]], default: tuple[int, ...]) -> tuple[int, ...]:
        return max(found, key=lambda chain: (len(chain), chain[-1])) if found else default

    for index, boot in enumerate(boots):
        if boot.end >= EARLIEST:
            before = [chain for at, chain in chains.items() if boots[at].end <= boot.begin + SLACK]
            chains[index] = (*longest(before, ()), index)
    return set(longest(list(chains.values()), (0,)))
