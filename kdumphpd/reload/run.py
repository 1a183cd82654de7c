# SPDX-License-Identifier: GPL-2.0-or-later
"""Running a loader: bounded in time, with its output kept, and nothing left behind."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence

# What is kept of a loader's output: its last words say why it failed.
TAIL = 2000  # characters

# A loader's environment is ours alone: nothing of the caller's decides what root runs.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class LoadFailed(Exception):  # noqa: N818 - an outcome that the caller answers
    """The image was not loaded; the message says what was tried and what the system answered."""


def run(argv: Sequence[str], timeout: float) -> str:
    """The output of a command, both streams together. Raises LoadFailed; its children are ended at `timeout`."""
    words = " ".join(argv[:2])
    # Into a file, not a pipe: a child that outlives the loader and holds its output is no reason to wait.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        except OSError as error:
            raise LoadFailed(f"cannot run {words}: {error.strerror}") from error
        with process:
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired as error:
                raise LoadFailed(f"{words} did not end within {timeout:g} s and was killed") from error
            finally:
                # The whole group: a shell script's children would go on loading.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        text = output.read().decode("utf-8", "replace").strip()
    if process.returncode != 0:
        raise LoadFailed(f"{words} failed with status {process.returncode}: {text[-TAIL:] or 'it said nothing'}")
    return text
