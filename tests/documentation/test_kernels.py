# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/kernels.md says what was recorded and what scenarios prove."""

import ast
import json
import re
from collections.abc import Iterator

import pytest

from tests.documentation import kernels
from tests.vm import results
from tests.vm.guests import GUESTS, ROUTINE
from tests.vm.payload import BUILD

TEXT = kernels.PAGE.read_text()

# "`scenario` on guest, guest": in the last column of a table.
PROOF = re.compile(r"`([a-z0-9-]+)` on ([a-z0-9, -]+?)(?=;| \||$)", re.MULTILINE)
FIXTURE = re.compile(r"fixture `([^`]+)`")


def proofs() -> Iterator[tuple[str, str]]:
    for scenario, guests in PROOF.findall(TEXT):
        for guest in guests.split(", "):
            yield scenario, guest.strip()


def scenarios() -> dict[str, set[str]]:
    """Return the guests of each scenario, by what the marker of the function or of its module names."""
    found = {}
    for path in sorted((kernels.CHECKOUT / "tests/vm").glob("test_*.py")):
        tree = ast.parse(path.read_text())
        of_module = [guests for node in tree.body if isinstance(node, ast.Assign) for guests in _guests(node.value)]
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                own = [guests for decorator in node.decorator_list for guests in _guests(decorator)]
                found[results.name(node.name)] = set((own or of_module or [ROUTINE])[0])
    return found


def _guests(node: ast.expr) -> Iterator[tuple[str, ...]]:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.guests":
        yield tuple(str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))


def test_the_table_is_what_the_fixtures_say() -> None:
    begin = TEXT.index(kernels.BEGIN)
    end = TEXT.index(kernels.END) + len(kernels.END)
    assert TEXT[begin:end] == kernels.block(), "python -m tests.documentation.kernels writes it"


def test_every_scenario_that_proves_a_row_runs_on_the_guest_named() -> None:
    known = scenarios()
    assert len(set(proofs())) > 10
    for scenario, guest in proofs():
        assert guest in GUESTS, guest
        assert guest in known.get(scenario, ()), f"{scenario} does not run on {guest}"


def test_every_fixture_that_proves_a_row_is_there() -> None:
    for name in FIXTURE.findall(TEXT):
        assert list(kernels.RECORDED.glob(name)), name


@pytest.mark.skipif(not (BUILD / "results.json").exists(), reason="no scenario has run in this checkout")
def test_no_scenario_that_proves_a_row_has_failed_here() -> None:
    rows = {(row["name"], row["guest"]): row for row in json.loads((BUILD / "results.json").read_text())}
    for proof in proofs():
        if (row := rows.get(proof)) and row["ran"]:
            assert row["passed"], proof
