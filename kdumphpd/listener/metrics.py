# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics in Prometheus' text format, for the textfile collector of node_exporter. Pure.

Source: Prometheus, "Exposition formats". No sample has a timestamp: the collector refuses those.
"""

from collections.abc import Iterable, Iterator

from kdumphpd import __version__
from kdumphpd.listener.tally import Spent, Tally
from kdumphpd.state import Condition, State

PREFIX = "kdumphpd"

Samples = Iterable[tuple[str, float]]
"""What follows a metric's name, labels included, and the value."""


def render(state: State, tally: Tally, now: float) -> str:
    """All metrics. `now`: seconds of the clock that the tally was told."""
    return "".join(f"{line}\n" for line in _lines(state, tally, now))


def _lines(state: State, tally: Tally, now: float) -> Iterator[str]:
    yield from _one("info", "gauge", "The version of kdumphpd.", 1, f'{{version="{__version__}"}}')
    yield from _one("start_time_seconds", "gauge", "When kdumphpd was started, since the epoch.", state.started)
    yield from _one(
        "protected",
        "gauge",
        "1: a kdump image is loaded, so that a panic leaves a dump.",
        bool(state.loaded),
    )
    yield from _one(
        "stale",
        "gauge",
        "1: the loaded image is or may be out of date, or is unsafe: a dump may miss something or fail.",
        state.condition is Condition.WRONG,
    )
    yield from _one(
        "stopped",
        "gauge",
        "1: no image is loaded, and kdumphpd takes that for the operator's wish.",
        state.condition is Condition.NOT_LOADED,
    )
    yield from _one("state_since_seconds", "gauge", "When these three last changed, since the epoch.", state.since)
    yield from _one("receiving", "gauge", "1: uevents of CPUs and memory are received.", state.receiving)
    if tally.crashkernel is not None:
        yield from _one("crashkernel_bytes", "gauge", "Memory reserved for the image.", tally.crashkernel)
    yield from _many(
        "events_total",
        "counter",
        "Uevents of CPUs and memory that may have changed the machine.",
        ((f'{{subsystem="{name}"}}', count) for name, count in sorted(tally.events.items())),
    )
    yield from _one(
        "event_overflows_total", "counter", "How often uevents were lost; a full check followed.", state.overflows
    )
    yield from _one("bursts_total", "counter", "Bursts of uevents that were handled.", state.bursts)
    yield from _many(
        "reloads_total",
        "counter",
        "Reloads of the image: with one that is right, failed, with one still out of date, or still unsafe.",
        ((f'{{result="{name}"}}', count) for name, count in sorted(tally.reloads.items())),
    )
    yield from _one(
        "request_failures_total", "counter", "Requests to the helper that failed or got no answer.", state.failures
    )
    for name, spent, what in (
        ("unprotected", tally.unprotected, "without an image, against the operator's wish"),
        ("stale", tally.stale, "with an image that is or may be out of date"),
    ):
        yield from _one(f"{name}_seconds_total", "counter", f"Time {what}.", spent.total(now))
        yield from _histogram(f"{name}_duration_seconds", f"Spans of time {what}, those that have ended.", spent)


def _one(name: str, kind: str, text: str, value: float, labels: str = "") -> Iterator[str]:
    return _many(name, kind, text, [(labels, value)])


def _many(name: str, kind: str, text: str, samples: Samples) -> Iterator[str]:
    yield f"# HELP {PREFIX}_{name} {text}"
    yield f"# TYPE {PREFIX}_{name} {kind}"
    for suffix, value in samples:
        yield f"{PREFIX}_{name}{suffix} {_number(value)}"


def _histogram(name: str, text: str, spent: Spent) -> Iterator[str]:
    samples: list[tuple[str, float]] = []
    count = 0
    for bound, new in zip((*spent.bounds, float("inf")), spent.counts, strict=True):
        count += new
        samples.append((f'_bucket{{le="{_bound(bound)}"}}', count))
    return _many(name, "histogram", text, [*samples, ("_sum", spent.closed), ("_count", count)])


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else f"{bound:g}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"
