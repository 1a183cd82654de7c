# SPDX-License-Identifier: GPL-2.0-or-later
"""Say whether the loaded kdump image describes the machine as it is now (root only).

Exit status: 0 current, 1 stale or unsafe, 3 nothing is loaded, 4 it can't be read. Nothing is changed.
"""

import argparse
from pathlib import Path

from kdumphpd.cli import exits
from kdumphpd.cli.output import Coloured, Tone, field, show
from kdumphpd.image.examine import examine
from kdumphpd.image.verdict import ImageState
from kdumphpd.runtime import LAYOUT

EXIT = {
    ImageState.CURRENT: exits.ARMED,
    ImageState.STALE: exits.WRONG,
    ImageState.UNSAFE: exits.WRONG,
    ImageState.NO_IMAGE: exits.NOT_LOADED,
    ImageState.UNREADABLE: exits.UNKNOWN,
}

TONES = {exits.ARMED: Tone.GOOD, exits.UNKNOWN: Tone.DOUBTFUL}


def word(state: ImageState) -> Coloured:
    """A verdict's state in its colour."""
    return Coloured(state.replace("_", " "), TONES.get(EXIT[state], Tone.BAD))


def run(options: argparse.Namespace, root: Path) -> int:
    _, verdict = examine(root, root / LAYOUT)
    show(options, verdict.to_dict(), [field("", word(verdict.state), f": {verdict.sentence()}", width=0)])
    return EXIT[verdict.state]
