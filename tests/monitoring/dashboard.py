# SPDX-License-Identifier: GPL-2.0-or-later
"""What the dashboard asks Prometheus."""

import json
from typing import Any

from tests.monitoring.tools import MONITORING

DASHBOARD = MONITORING / "kdumphpd-dashboard.json"

# What Grafana puts in before it asks.
VARIABLES = {"$job": ".*", "$instance": ".*", "$__rate_interval": "1m", "$__range": "1h"}


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


def filled(expression: str) -> str:
    """A query, every variable replaced."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def expressions() -> list[tuple[str, str]]:
    """Panel and query."""
    return [(panel["title"], filled(target["expr"])) for panel in panels() for target in panel["targets"]]
