# SPDX-License-Identifier: GPL-2.0-or-later
"""Say in one line whether kdump is armed, with performance data, as a plugin of Nagios and its kin.

Exit status: 0 OK: armed; 1 WARNING: a dump may miss something or fail, or no image is loaded and none is meant to be
(see --stopped); 2 CRITICAL: no image is loaded against the operator's wish; 3 UNKNOWN: that can't be told,
kdumphpd does not run, or the call is wrong. These are Nagios', not those of the other verbs.
"""

import argparse
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path

from kdumphpd.cli import exits, facts
from kdumphpd.cli.facts import Facts
from kdumphpd.cli.health import Health, Protection, judge
from kdumphpd.cli.output import Coloured, Line, Row, Tone, show


class Service(IntEnum):
    """Nagios' exit statuses. Source: its plugins' development guidelines, "Plugin Return Codes"."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


TONES = {Service.OK: Tone.GOOD, Service.CRITICAL: Tone.BAD}
STOPPED = {"ok": Service.OK, "warning": Service.WARNING, "critical": Service.CRITICAL}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stopped",
        choices=tuple(STOPPED),
        default="warning",
        metavar="LEVEL",
        help="what an image is that the operator has stopped: ok, warning (the default) or critical",
    )


def run(options: argparse.Namespace, root: Path) -> int:
    found = facts.read(root)
    health = judge(found)
    service = grade(health, STOPPED[options.stopped])
    content = {
        "service": service.name,
        "exit": int(service),
        "why": _text(health),
        "performance": {name: float(value) for name, value, _ in performance(found)},
    }
    show(options, content, lines(found, health, service))
    return service


def lines(found: Facts, health: Health, service: Service) -> Iterable[Line]:
    """The one line."""
    data = " ".join(f"{name}={value}{unit};;;0" for name, value, unit in performance(found))
    # A bar would end the text, and a line break the line that a notification has.
    text = _text(health).replace("|", "/").replace("\n", " ")
    word = Coloured(f"KDUMP {service.name}", TONES.get(service, Tone.DOUBTFUL))
    yield Row("", (word, f" - {text}{f' | {data}' if data else ''}"), width=0, whole=True)


def grade(health: Health, stopped: Service) -> Service:
    """Nagios' word for a judgement."""
    if health.exit == exits.UNKNOWN:
        return Service.UNKNOWN
    if health.exit == exits.NOT_LOADED:
        return stopped
    if health.exit == exits.WRONG:
        return Service.CRITICAL if health.protection is Protection.NO else Service.WARNING
    return Service.OK


def _text(health: Health) -> str:
    return health.why or "an image is loaded, and right as far as is known"


def performance(found: Facts) -> Iterable[tuple[str, str, str]]:
    """Name, value and unit ("c": a counter since the listener's start)."""
    if found.loaded is not None:
        yield "loaded", str(int(found.loaded)), ""
    if (listener := found.listener) is not None:
        yield "unprotected", f"{listener.unprotected:.3f}", "s"
        for name in ("events", "overflows", "bursts", "reloads", "failures"):
            yield name, str(getattr(listener, name)), "c"
