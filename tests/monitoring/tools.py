# SPDX-License-Identifier: GPL-2.0-or-later
"""Prometheus' own programs, as Debian has them.

They are unpacked below build/ and not installed, for the packages start services that everybody on the network may
ask. Where they can't be fetched, the tests that need them are skipped: that says something of a mirror.
"""

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
FOLDER = CHECKOUT / "build" / "prometheus"
MONITORING = CHECKOUT / "packaging" / "monitoring"

PACKAGES = {
    "promtool": ("promtool", "prometheus"),  # Debian 13 has it in a package of its own
    "prometheus": ("prometheus",),
    "prometheus-node-exporter": ("prometheus-node-exporter",),
}


@functools.cache
def tool(name: str) -> Path:
    """The path of a program of Prometheus'."""
    if found := shutil.which(name):
        return Path(found)
    path = FOLDER / "usr/bin" / name
    refusals = [refusal for package in PACKAGES[name] if not path.exists() and (refusal := _unpack(package))]
    if not path.exists():
        pytest.skip(f"{name} is missing, and apt-get could not fetch it: {' '.join(refusals)}")
    return path


def _unpack(package: str) -> str:
    """Fetch and unpack one package; what apt-get says where it can't."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "download", "--quiet=2", package]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        return done.stderr.strip()
    for found in FOLDER.glob(f"{package}_*.deb"):
        subprocess.run(["dpkg-deb", "--extract", found, FOLDER], check=True)
    return ""
