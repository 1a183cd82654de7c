# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing may outlive a test: no thread and no child process."""

import os
import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fail a test that leaves a thread or a child process, dead and not waited for included."""
    before = set(threading.enumerate())
    yield
    threads = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not threads, f"the test left threads behind: {threads}"
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    pytest.fail("the test left a child process behind")
