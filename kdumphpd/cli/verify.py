# SPDX-License-Identifier: GPL-2.0-or-later
"""Say whether the loaded kdump image describes the machine as it is now (root only).

Exit status: 0 current, 1 stale, 2 it can't be read, 3 nothing is loaded. Nothing is changed.
"""

import argparse
import json
from pathlib import Path

from kdumphpd import memo
from kdumphpd.image.examine import examine
from kdumphpd.image.verdict import State

EXIT = {State.CURRENT: 0, State.STALE: 1, State.UNREADABLE: 2, State.NO_IMAGE: 3}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def run(options: argparse.Namespace, root: Path) -> int:
    _, verdict = examine(root, root / memo.LAYOUT_CACHE)
    if options.json:
        print(json.dumps(verdict.to_dict(), indent=1))
    else:
        print(f"{verdict.state.replace('_', ' ')}: {verdict.sentence()}")
    return EXIT[verdict.state]
