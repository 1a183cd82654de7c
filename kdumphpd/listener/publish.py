# SPDX-License-Identifier: GPL-2.0-or-later
"""What others can see of the listener: STATUS=, the state file, and the metrics."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from kdumphpd import journal, state
from kdumphpd.listener import metrics
from kdumphpd.listener.tally import Tally
from kdumphpd.runtime import METRICS, STATE
from kdumphpd.state import State

log = journal.logger()

# Seconds between two files of metrics, but for a change of what a panic would leave behind.
PAUSE = 5.0
# So often there is one whatever happens: its age tells whether anybody is still there.
LONGEST = 60.0


class Publisher:
    """`notify` is sd_notify(3)."""

    def __init__(self, root: Path, notify: Callable[[str], object], tally: Tally) -> None:
        self._root = root
        self._notify = notify
        self._tally = tally
        self._said = ""
        self._written: State | None = None
        self._metrics_at: float | None = None
        self._metrics_due = False
        self._unwritable: set[str] = set()

    def publish(self, now_state: State, now: float) -> None:
        """Write what has changed. `now`: seconds of a monotonic clock."""
        if self._said != now_state.status:
            # A file's name in it need not be text. What a loader said may have lines, each an assignment to systemd.
            line = now_state.status.encode(errors="backslashreplace").decode().replace("\n", " ")
            self._notify(f"STATUS={line}")
            self._said = now_state.status
        changed = self._written != now_state
        if changed and self._try(STATE, "kdumphpctl shows an old state", lambda: state.write(self._root, now_state)):
            self._written = dataclasses.replace(now_state)
        self._metrics_due |= changed
        urgent = self._tally.saw(now_state, now)
        since = None if self._metrics_at is None else now - self._metrics_at
        if urgent or since is None or since >= (PAUSE if self._metrics_due else LONGEST):
            self._metrics_at = now
            text = metrics.render(now_state, self._tally, now)
            self._metrics_due = not self._try(METRICS, "metrics are old", lambda: write_metrics(self._root, text))

    def forget(self) -> None:
        """Somebody else has said something in STATUS=."""
        self._said = ""

    def _try(self, path: str, consequence: str, write: Callable[[], None]) -> bool:
        """Whether it was written; if not, it is tried again."""
        try:
            write()
        except OSError as error:
            if path not in self._unwritable:
                log.warning(f"cannot write {self._root / path}: {error.strerror}; {consequence}")
            self._unwritable.add(path)
            return False
        self._unwritable.discard(path)
        return True


def write_metrics(root: Path, text: str) -> None:
    """Replace the file in one step; everybody may read it, whatever the umask. Raises OSError."""
    path = root / METRICS
    draft = path.with_suffix(".new")  # the collector takes *.prom alone
    draft.write_text(text, "ascii")
    draft.chmod(0o644)
    draft.replace(path)
