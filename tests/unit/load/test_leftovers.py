# SPDX-License-Identifier: GPL-2.0-or-later
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from kdumphpd.load.leftovers import end_others
from tests.unit.trees import put


def test_in_a_unit_of_ours_every_other_process_is_ended(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True) as stray:
        group = "/system.slice/system-kdumphpd\\x2dhelper.slice/kdumphpd-helper@7-12.service"
        members = f"sys/fs/cgroup{group}/cgroup.procs"
        put(tmp_path, {"proc/self/cgroup": f"0::{group}\n", members: f"{os.getpid()}\n{stray.pid}\n"})
        ender = threading.Thread(target=end_others, args=(tmp_path,))
        ender.start()
        stray.wait(30)
        put(tmp_path, {members: f"{os.getpid()}\n"})
        ender.join()
    assert stray.returncode == -signal.SIGKILL


@pytest.mark.parametrize("text", ["0::/user.slice/session-1.scope\n", "0::/system.slice/other.service\n", ""])
def test_outside_of_it_nothing_is_ours_to_end(tmp_path: Path, text: str) -> None:
    with subprocess.Popen(["/bin/sleep", "1000"]) as other:
        group = text.strip().removeprefix("0::").lstrip("/")
        put(tmp_path, {"proc/self/cgroup": text, f"sys/fs/cgroup/{group}/cgroup.procs": f"{other.pid}\n"})
        end_others(tmp_path)
        assert other.poll() is None
        other.kill()
