# SPDX-License-Identifier: GPL-2.0-or-later
"""A hundred machines: each a folder with metrics as the listener writes them, and a node_exporter that serves it.

Everything listens on the loopback interface alone.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kdumphpd.listener.metrics import render
from kdumphpd.listener.publish import write_metrics
from kdumphpd.listener.tally import Tally
from kdumphpd.runtime import METRICS
from kdumphpd.state import Condition, State
from tests.monitoring.tools import MONITORING, tool

HOST = "127.0.0.1"
SCRAPE_S = 2
PATIENCE_S = 180.0

CONFIG = """
global: {{scrape_interval: {scrape}s, evaluation_interval: {scrape}s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: node
    static_configs:
{targets}
"""
TARGET = "      - {{targets: ['{host}:{port}'], labels: {{instance: '{name}'}}}}"


class SimulatedHost:
    """One machine of the fleet, armed at first."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.file = folder / METRICS
        self.file.parent.mkdir(parents=True)
        self.tally = Tally()
        self.tally.crashkernel = 256 << 20
        self.state = State(time.time(), "Armed", healthy=True, receiving=True, loaded=True)
        self.become(Condition.ARMED)

    def become(self, condition: Condition) -> None:
        self.state.condition, self.state.since = condition, time.time()
        self.state.loaded = condition in (Condition.ARMED, Condition.WRONG)
        self.write()

    def write(self) -> None:
        self.tally.saw(self.state, time.monotonic())
        write_metrics(self.folder, render(self.state, self.tally, time.monotonic()))


class Prometheus:
    def __init__(self, port: int) -> None:
        self._base = f"http://{HOST}:{port}/api/v1"

    def get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self._base}/{path}?{query}", timeout=30) as answer:  # noqa: S310 - our own
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        return list(self.get("query", query=expression)["result"])

    def value(self, expression: str) -> float:
        """Of an expression that gives one number; 0 where it gives none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else 0.0

    def alerts(self) -> set[tuple[str, str]]:
        """Which fire, and for which machine."""
        return {
            (alert["labels"]["alertname"], alert["labels"].get("instance", ""))
            for alert in self.get("alerts")["alerts"]
            if alert["state"] == "firing"
        }


def wait_until(what: Any, patience: float = PATIENCE_S) -> None:
    """Call `what` until it returns something true; what goes wrong meanwhile is not ready yet."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            if what():
                return
        time.sleep(0.5)
    raise AssertionError(f"not so within {patience:.0f} s")


@contextlib.contextmanager
def running(hosts: Mapping[str, SimulatedHost], folder: Path) -> Iterator[Prometheus]:
    """A node_exporter a host and one Prometheus that scrapes all of them, until the end of the block."""
    ports = _free_ports(len(hosts) + 1)
    targets = []
    with contextlib.ExitStack() as stack:
        for (name, host), port in zip(hosts.items(), ports, strict=False):
            targets.append(TARGET.format(host=HOST, port=port, name=name))
            stack.enter_context(_process(folder, tool("prometheus-node-exporter"), *_exporter(host, port)))
        rules = folder / "rules.yml"
        # A test has no hour to wait.
        rules.write_text(re.sub(r"for: \d+[mh]", "for: 0s", (MONITORING / "kdumphpd.rules.yml").read_text()))
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.format(scrape=SCRAPE_S, rules=rules, targets="\n".join(targets)))
        options = (
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{ports[-1]}",
            "--log.level=warn",
        )
        stack.enter_context(_process(folder, tool("prometheus"), *options))
        yield Prometheus(ports[-1])


def _exporter(host: SimulatedHost, port: int) -> tuple[str, ...]:
    return (
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={host.file.parent}",
        f"--web.listen-address={HOST}:{port}",
        "--web.disable-exporter-metrics",
        "--log.level=error",
    )


@contextlib.contextmanager
def _process(folder: Path, program: Path, *options: str) -> Iterator[None]:
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([program, *options], stdout=log, stderr=log, env={**os.environ, "GOMAXPROCS": "1"})
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind((HOST, 0))
        return [sock.getsockname()[1] for sock in sockets]
