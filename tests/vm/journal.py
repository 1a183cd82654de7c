# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal of a guest, read whole.

journalctl leaves a file out that journald is growing at that moment; it says so, and ends with 0 ("Journal file …
is truncated, ignoring file", once in some hundred reads of systemd 257 in an emulated guest). A scenario would take
that for silence.
"""

import time

from tests.vm.qemu import Machine

HELPER = "-u 'kdumphpd-helper@*'"
OURS = f"-u kdumphpd {HELPER}"

TRIES = 20
PAUSE_S = 0.2


def read(machine: Machine, matches: str, output: str = "cat") -> list[str]:
    """The lines of `journalctl -b -o OUTPUT MATCHES`, all that was logged before the call among them."""
    for _ in range(TRIES):
        # It ends with 1 where --grep finds nothing.
        done = machine.run(f"journalctl --sync; journalctl -q -b -o {output} {matches}", check=False)
        if "ignoring file" not in done.stderr:
            assert done.returncode == 0 or not done.stderr, done.stderr
            return done.stdout.splitlines()
        time.sleep(PAUSE_S)
    raise AssertionError(f"the journal can't be read in {TRIES} tries: {done.stderr}")


def count(machine: Machine, matches: str, text: str) -> int:
    """How many of the lines that `read` returns say `text`."""
    return sum(text in line for line in read(machine, matches))
