# SPDX-License-Identifier: GPL-2.0-or-later
"""Real Prometheus, real node_exporter and a hundred machines: the alerts that fire, and what the dashboard gets."""

import os
import time
from pathlib import Path

import pytest

from kdumphpd.protocol import Outcome, Reason, Result
from kdumphpd.state import Condition
from tests.monitoring import dashboard
from tests.monitoring.fleet import Prometheus, SimulatedHost, running, wait_until

HOSTS = 100
UNPROTECTED, STALE, STOPPED = (3, 14, 15), (9, 26), (53,)
FAILING, LOSING, SHUT, HANGING, GONE = 58, 97, 93, 23, 84

RELOADED = Result(
    Outcome.RELOADED, Reason.STALE, method="kexec", seconds=1.2, unprotected=0.2, armed=True, kernel_updates=True
)
FAILED = Result(Outcome.FAILED, Reason.STALE, detail="no initrd", armed=True)


def name(number: int) -> str:
    return f"host-{number:03}"


def expected() -> set[tuple[str, str]]:
    return {
        *(("KdumpUnprotected", name(n)) for n in UNPROTECTED),
        *(("KdumpStale", name(n)) for n in STALE),
        *(("KdumpStopped", name(n)) for n in STOPPED),
        ("KdumpReloadFailing", name(FAILING)),
        ("KdumpEventsLost", name(LOSING)),
        ("KdumpNotReceiving", name(SHUT)),
        ("KdumphpdSilent", name(HANGING)),
        ("KdumphpdSilent", name(GONE)),
    }


def trouble(hosts: dict[str, SimulatedHost]) -> None:
    """What happens to the fleet."""
    for number in range(0, HOSTS, 5):
        host = hosts[name(number)]
        host.tally.answered(RELOADED, time.monotonic() - 5, time.monotonic())
        host.write()
    for condition, numbers in (
        (Condition.UNPROTECTED, UNPROTECTED),
        (Condition.WRONG, STALE),
        (Condition.NOT_LOADED, STOPPED),
    ):
        for number in numbers:
            hosts[name(number)].become(condition)
    for _ in range(9):
        hosts[name(FAILING)].tally.answered(FAILED, None, time.monotonic())
    hosts[name(LOSING)].state.overflows = 9
    hosts[name(SHUT)].state.receiving = False
    for number in (FAILING, LOSING, SHUT):
        hosts[name(number)].write()
    old = time.time() - 1000
    os.utime(hosts[name(HANGING)].file, (old, old))
    hosts[name(GONE)].file.unlink()  # its RuntimeDirectory= goes when it is stopped


def scraped(prometheus: Prometheus) -> bool:
    # Twice, so that what is counted from then on is an increase.
    return prometheus.value("count(count_over_time(kdumphpd_protected[1m]) > 1)") == HOSTS


@pytest.mark.long
def test_a_hundred_machines(tmp_path: Path) -> None:
    hosts = {name(n): SimulatedHost(tmp_path / name(n), name(n)) for n in range(HOSTS)}
    with running(hosts, tmp_path) as prometheus:
        wait_until(lambda: scraped(prometheus))
        assert prometheus.value("sum(node_textfile_scrape_error)") == 0
        assert prometheus.alerts() == set()
        trouble(hosts)
        wait_until(lambda: expected() <= prometheus.alerts())
        assert prometheus.alerts() == expected()

        bad = len(UNPROTECTED) + len(STALE) + len(STOPPED)
        answers = {query: prometheus.query(query) for _, query in dashboard.expressions()}
        assert [query for query, found in answers.items() if not found] == []
        [table] = [panel for panel in dashboard.panels() if panel["type"] == "table"]
        worst = prometheus.query(dashboard.filled(table["targets"][0]["expr"]))
        # One has stopped: its file is gone.
        assert len(worst) == HOSTS - 1
        assert {row["metric"]["instance"] for row in worst[:3]} == {name(n) for n in UNPROTECTED}
        assert {row["metric"]["instance"] for row in worst[3:5]} == {name(n) for n in STALE}
        assert worst[5]["metric"]["instance"] == name(STOPPED[0])
        assert {float(row["value"][1]) for row in worst[bad:]} == {0.0}
