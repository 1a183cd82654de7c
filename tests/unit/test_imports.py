# SPDX-License-Identifier: GPL-2.0-or-later
"""Imports go one way: a folder imports from those below it, and never from one above."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import kdumphpd

PACKAGE = Path(kdumphpd.__file__).parent

# From top to bottom. What lies loose in the package is shared, and below all of them.
ORDER = ("cli", "listener", "helper", "load", "image", "kernel")
SHARED = ""

# The listener receives, coalesces, asks and reports. What it must not be able to do it does not import.
FORBIDDEN = {"listener": {"helper", "load", "image"}, "cli": {"listener", "helper", "load"}}

MODULES = sorted(PACKAGE.rglob("*.py"))


def folder(parts: tuple[str, ...]) -> str:
    """The folder of a module by the parts of its path or name below the package."""
    return parts[0] if parts and parts[0] in ORDER else SHARED


def rank(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def imported(module: Path) -> Iterator[str]:
    """The folders that a module imports from, inside of functions too."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, *parts = name.split(".")
            if package == PACKAGE.name:
                yield folder(tuple(parts))


def test_every_folder_has_its_place() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))} == set(ORDER)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_a_module_imports_nothing_from_above(module: Path) -> None:
    parts = module.relative_to(PACKAGE).parts
    own = folder(parts)
    for other in imported(module):
        assert rank(other) >= rank(own), f"{own or 'a shared module'} imports from {other}"
        assert other not in FORBIDDEN.get(own, set()), f"{own} imports from {other}"


def test_no_two_types_have_one_name() -> None:
    names = [
        node.name
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    assert sorted(names) == sorted(set(names))
