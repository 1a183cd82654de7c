# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures for scenarios: `machine` runs our software, `bare` does not; both are new for every test.

A scenario runs on the guests that its `guests` marker names, without one on those of guests.ROUTINE. One that
loses its VM is run again, once: that says something of the host, not of the scenario. A scenario that fails is
never run again. One whose guest is missing (missing.py) is skipped.
"""

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from tests.vm import missing, results, snapshot
from tests.vm import payload as payloads
from tests.vm.agent import CommandTimeout
from tests.vm.channel import VmLost
from tests.vm.guests import GUESTS, ROUTINE, Guest
from tests.vm.payload import BUILD, Payload
from tests.vm.qemu import Machine
from tests.vm.results import Result
from tests.vm.snapshot import Snapshot

MACHINE = pytest.StashKey[Machine]()
PASSED = pytest.StashKey[bool]()
LOST = pytest.StashKey[bool]()

NOT_RUN = "not run"
"""The property of a report that has the guest's name and the reason; it comes through pytest-xdist."""

EVIDENCE = "journalctl -b --no-pager -o short-monotonic -n 150"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "guests(*names, long=()): run on these guests of tests/vm/guests.py only, on `long` where time is no matter",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "guest" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("guests")
        names = marker.args if marker else ROUTINE
        late = marker.kwargs.get("long", ()) if marker else ()
        rows = [
            pytest.param(GUESTS[name], id=name, marks=[pytest.mark.long] if name in late else []) for name in names
        ]
        metafunc.parametrize("guest", rows, scope="session")


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a scenario, and once more where its VM was lost."""
    if "guest" not in getattr(item, "fixturenames", ()):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if item.stash.get(LOST, False):
        item.stash[LOST] = False
        item._initrequest()  # type: ignore[attr-defined]  # new fixtures, as pytest-rerunfailures gets them
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a scenario whose guest is missing."""
    assert isinstance(item, pytest.Function)
    guest = item.callspec.params.get("guest") if hasattr(item, "callspec") else None
    if not isinstance(guest, Guest) or guest.name not in missing.OPTIONAL:
        return
    reason = missing.read().get(guest.name)
    if reason is None:
        return
    if "result" in item.fixturenames:
        row = Result(results.name(item.originalname), guest.name, "", guest.arch.uname, ran=False)
        row.verdict = f"not run: {reason}"
        results.merge(BUILD / "results.json", [row])
    item.user_properties.append((NOT_RUN, f"{guest.name} {reason}"))
    pytest.skip(f"{guest.name} is missing: {reason}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Say as the very last line what the run comes to; pytest's own does not say what was not run, and why."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput") or session.config.option.collectonly:
        return
    counts = {outcome: len(reporter.stats.get(outcome, ())) for outcome in ("passed", "failed", "error")}
    properties = [dict(report.user_properties) for report in reporter.stats.get("skipped", ())]
    not_run = [properties_[NOT_RUN] for properties_ in properties if NOT_RUN in properties_]
    reporter.write_line(missing.last_line(counts, len(not_run), dict(line.split(" ", 1) for line in not_run)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how the test ended, and attach what the guest had to say to a failure while it still can."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    lost = call.excinfo is not None and call.excinfo.errisinstance(VmLost)
    item.stash[LOST] = item.stash.get(LOST, False) or lost
    if report.failed and (machine := item.stash.get(MACHINE, None)):
        report.sections.append(("console of the guest", machine.console_tail()))
        if not lost:
            report.sections.append(("journal of the guest", _journal(machine)))
    return report


def _journal(machine: Machine) -> str:
    try:
        return machine.run(EVIDENCE, timeout=60, check=False).stdout
    except (VmLost, CommandTimeout) as error:
        return str(error)


@pytest.fixture(scope="session")
def booted(guest: Guest) -> Snapshot:
    """The guest after its boot."""
    return snapshot.twice(lambda: snapshot.booted(guest))


@pytest.fixture(scope="session")
def payload(tmp_path_factory: pytest.TempPathFactory) -> Payload:
    """This checkout, ready to install."""
    return payloads.build(tmp_path_factory.mktemp("payload"))


@pytest.fixture(scope="session")
def installed(booted: Snapshot, payload: Payload) -> Snapshot:
    """The guest with our software running."""
    return snapshot.twice(lambda: payloads.installed(booted, payload))


@pytest.fixture
def machine(request: pytest.FixtureRequest, installed: Snapshot, payload: Payload) -> Iterator[Machine]:
    """A guest of the test's own with our software running."""
    with _running(request.node, installed, payload.disk) as running:
        yield running


@pytest.fixture
def enclosed() -> Payload | None:
    """What a bare guest has on its second disk; a module of tests that wants something there overrides this."""
    return None


@pytest.fixture
def bare(request: pytest.FixtureRequest, booted: Snapshot, enclosed: Payload | None) -> Iterator[Machine]:
    """A guest of the test's own as Debian left it, kdump armed, without our software."""
    with _running(request.node, booted, enclosed.disk if enclosed else None) as running:
        yield running


@pytest.fixture
def result(request: pytest.FixtureRequest, guest: Guest) -> Iterator[Result]:
    """The scenario's row of results.json, written when it ends."""
    machine = request.getfixturevalue("machine" if "machine" in request.fixturenames else "bare")
    kernel = machine.run("uname -r").stdout.strip()
    row = Result(results.name(request.node.originalname), guest.name, kernel, guest.arch.uname)
    yield row
    row.passed = request.node.stash.get(PASSED, False)
    results.merge(BUILD / "results.json", [row])


@contextmanager
def _running(node: pytest.Item, frozen: Snapshot, payload: Path | None) -> Iterator[Machine]:
    workdir = BUILD / "work" / re.sub(r"[^\w.-]+", "-", node.name)
    with frozen.restored(workdir, payload) as machine:
        node.stash[MACHINE] = machine
        try:
            yield machine
        finally:
            del node.stash[MACHINE]
    (workdir / "disk.qcow2").unlink()  # the console's log stays
