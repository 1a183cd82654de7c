# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing may outlive a test: no thread, no child process, no asyncio task."""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


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


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """asyncio.run, and fail where a task is left: asyncio.run would cancel it and say nothing."""

    async def watched() -> T:
        result = await main
        await asyncio.sleep(0)  # what has just ended may go
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"the test left tasks behind: {left}"
        return result

    return asyncio.run(watched())
