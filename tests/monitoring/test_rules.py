# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics, alert rules and the dashboard fit each other, by Prometheus' own judgement."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from kdumphpd.listener import metrics
from kdumphpd.listener.tally import Tally
from kdumphpd.state import State
from tests.monitoring import dashboard
from tests.monitoring.tools import CHECKOUT, MONITORING, tool

RULES = MONITORING / "kdumphpd.rules.yml"
CASES = CHECKOUT / "tests/monitoring/rules.yml"


def exposition() -> str:
    tally = Tally()
    tally.crashkernel = 1 << 28
    return metrics.render(State(0.0, "", healthy=True), tally, 0.0)


def promtool(*words: str | Path, text: str = "") -> str:
    command = [tool("promtool"), *words]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def used(text: str) -> set[str]:
    return set(re.findall(r"\bkdumphpd_\w+", text))


def test_prometheus_has_nothing_to_say_of_our_metrics() -> None:
    assert promtool("check", "metrics", text=exposition()) == ""


def test_the_rules_do_what_their_cases_say() -> None:
    promtool("check", "rules", RULES)
    promtool("test", "rules", CASES)


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    alerts = re.findall(r"alert: (\w+)", RULES.read_text())
    cases = re.split(r"(?=alertname: )", CASES.read_text())
    firing = {case.split()[1] for case in cases if "exp_alerts:" in case}
    assert alerts
    assert set(alerts) <= firing


@pytest.mark.parametrize("path", [RULES, dashboard.DASHBOARD], ids=lambda path: path.name)
def test_only_metrics_that_there_are_are_asked_for(path: Path) -> None:
    names = used(exposition())
    assert used(path.read_text()) <= names


def test_what_the_dashboard_asks_is_promql(tmp_path: Path) -> None:
    expressions = dashboard.expressions()
    assert len(expressions) > 20
    rules = [{"record": f"panel:{i}", "expr": expression} for i, (_, expression) in enumerate(expressions)]
    # JSON is YAML.
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


def test_panels_lie_beside_each_other_and_say_what_they_show() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard.panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["title"]
        assert panel["description"].endswith(".")
    ids = [panel["id"] for panel in dashboard.panels()]
    assert len(set(ids)) == len(ids)
