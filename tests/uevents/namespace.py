# SPDX-License-Identifier: GPL-2.0-or-later
"""Running a test in namespaces of its own, where it is root, mounts what it likes and makes real uevents.

A user namespace with a network namespace that belongs to it: network devices there send real uevents, to sockets
there and nowhere else, and /sys shows their uevent files. No privilege is needed for that, where the system permits
user namespaces; root that may not have those gets the mount and network namespaces alone.
"""

import ctypes
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

import pytest

P = ParamSpec("P")

INSIDE = "KDUMPHPD_TEST_INSIDE"

# Plugins that a single test has no use for, and that take their time to load.
WITHOUT = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:xdist"]

# In two steps: a network namespace that is made before its owner's uid is mapped gives its files in /sys to nobody.
WAYS = (
    ["unshare", "--user", "--map-root-user", "unshare", "--mount", "--net"],
    ["unshare", "--mount", "--net"],
)


@functools.cache
def way() -> list[str] | None:
    """The command that runs another one in namespaces of its own; None where nothing of the kind is permitted."""
    probe = ["sh", "-c", "mount -t sysfs none /sys && test -w /sys/class/net/lo/uevent"]
    for command in WAYS:
        if subprocess.run([*command, *probe], capture_output=True, check=False).returncode == 0:
            return command
    return None


def in_namespace(test: Callable[P, None]) -> Callable[P, None]:
    """Run the test by a pytest of its own in new namespaces, with a /sys that shows the new network namespace."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        if INSIDE in os.environ:
            mount("sysfs", "/sys")
            test(*args, **kwargs)
            return
        command = way()
        if command is None:
            pytest.skip("neither user namespaces nor (as root) mount and network namespaces are permitted here")
        node = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
        done = subprocess.run(
            [*command, sys.executable, "-m", "pytest", "-q", *WITHOUT, node],
            env=os.environ | {INSIDE: "1"},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        if "1 skipped" in done.stdout:
            pytest.skip(done.stdout[done.stdout.find("SKIPPED") :])
        assert done.returncode == 0, done.stdout

    return run


def mount(kind: str, target: str, options: str = "") -> None:
    """mount(2) in this mount namespace. Raises OSError."""
    assert INSIDE in os.environ, "only a test in a namespace of its own may mount"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", target.encode(), kind.encode(), 0, options.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def mount_tmpfs(target: str) -> None:
    mount("tmpfs", target)
