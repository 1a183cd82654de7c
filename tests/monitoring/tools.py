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
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "prometheus-node-exporter": "prometheus-node-exporter",
}


@functools.cache
def tool(name: str) -> Path:
    """The path of a program of Prometheus'."""
    if found := shutil.which(name):
        return Path(found)
    path = FOLDER / "usr/bin" / name
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ["apt-get", "download", "--quiet=2", PACKAGES[name]]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip(f"{name} is missing, and apt-get could not fetch it: {done.stderr.strip()}")
        for package in FOLDER.glob(f"{PACKAGES[name]}_*.deb"):
            subprocess.run(["dpkg-deb", "--extract", package, FOLDER], check=True)
    return path
