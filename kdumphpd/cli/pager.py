# SPDX-License-Identifier: GPL-2.0-or-later
"""Text that is longer than the terminal goes through a pager, as with systemctl."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys

FALLBACKS = ("less", "more")

# As systemd has it: end if it fits, colours, no wrapping by the pager, leave the screen as it is. LESSSECURE: whoever
# may run kdumphpctl as root by sudo gets no shell out of it.
ENVIRONMENT = {"LESS": "FRSXMK", "LESSSECURE": "1"}


def page(text: str) -> bool:
    """Have a pager show `text` on the terminal, where it does not fit; False: it is still to be printed."""
    command = _pager() if text.count("\n") + 2 > shutil.get_terminal_size().lines else []
    if not command:
        return False
    # Ctrl-C is the pager's: less ends a search with it. A handler of ours, unlike SIG_IGN, is not handed on by exec.
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        subprocess.run(
            command,
            input=f"{text}\n",
            encoding=sys.stdout.encoding,
            errors="backslashreplace",
            env={**os.environ, **ENVIRONMENT},
            check=False,
        )
    except OSError:
        return False
    finally:
        signal.signal(signal.SIGINT, before)
    return True


def _pager() -> list[str]:
    """$SYSTEMD_PAGER or $PAGER, an empty one or `cat` for none; root's are not for whoever became root by sudo.

    One that no shell could read is as none that was chosen.
    """
    chosen = None if "SUDO_UID" in os.environ else os.environ.get("SYSTEMD_PAGER", os.environ.get("PAGER"))
    if chosen is not None:
        with contextlib.suppress(ValueError):
            words = shlex.split(chosen)
            return [] if words[:1] in ([], ["cat"]) else words
    found = next(filter(None, map(shutil.which, FALLBACKS)), None)
    return [found] if found else []
