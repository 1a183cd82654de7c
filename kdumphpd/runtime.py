# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the running system keeps what is ours, below /run: no longer than the loaded image itself lasts."""

import json
from pathlib import Path

SOCKET = "run/kdumphpd-helper.socket"

# The helper's own. Everything in it is readable for root alone, but for the record.
FOLDER = "run/kdumphpd-helper"
LOCK = f"{FOLDER}/lock"  # held by the one request that is at work
LAYOUT = f"{FOLDER}/layout.json"  # where this kernel keeps the image (image/layout.py)
CONFIGURATION = f"{FOLDER}/configuration.json"  # the last one of this boot that was right
RECORDING = f"{FOLDER}/recording.json"  # the kexec command of the distribution's loader (load/recording.py)
ASKING = f"{FOLDER}/asking"  # a lock, held by whoever asks that loader
ASKED = f"{FOLDER}/asked"  # is there while a loader is asked with an image loaded (helper/asking.py)
UNASKABLE = f"{FOLDER}/unaskable"  # is there where that loader has unloaded the image when it was asked
RECORD = f"{FOLDER}/record.json"  # the last load, and whether a reload is pending (helper/record.py)

# The listener's.
STATE = "run/kdumphpd/state.json"
CONDITION = "run/kdumphpd/condition"  # one word of state.json, written only when it changes (kdumphpd-check.path)
METRICS = "run/kdumphpd/kdumphpd.prom"

MAX_RECORD = 4096  # bytes


def reload_pending(root: Path) -> bool:
    """Whether a reload of ours has begun and not ended with an image; where that can't be told, it may have.

    This is all of the record that the listener takes notice of.
    """
    try:
        with (root / RECORD).open("rb") as file:
            text = file.read(MAX_RECORD).strip(b"\0 ")
        return bool(text) and json.loads(text)["pending"] is not None
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return True
