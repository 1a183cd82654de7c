# SPDX-License-Identifier: GPL-2.0-or-later
"""Say whether the loaded kdump image describes the machine as it is now (root only).

Exit status: 0 current, 1 stale or unsafe, 3 nothing is loaded, 4 it can't be read. Nothing is changed.
"""

import argparse
import json
from pathlib import Path

from kdumphpd.cli.text import plain
from kdumphpd.image.examine import examine
from kdumphpd.image.verdict import ImageState
from kdumphpd.runtime import LAYOUT

EXIT = {
    ImageState.CURRENT: 0,
    ImageState.STALE: 1,
    ImageState.UNSAFE: 1,
    ImageState.NO_IMAGE: 3,
    ImageState.UNREADABLE: 4,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def run(options: argparse.Namespace, root: Path) -> int:
    _, verdict = examine(root, root / LAYOUT)
    if options.json:
        print(json.dumps(verdict.to_dict(), indent=1))
    else:
        print(plain(f"{verdict.state.replace('_', ' ')}: {verdict.sentence()}"))
    return EXIT[verdict.state]
