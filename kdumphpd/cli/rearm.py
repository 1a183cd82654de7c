# SPDX-License-Identifier: GPL-2.0-or-later
"""Check the loaded kdump image now, and reload it if it is out of date (root only).

Exit status: 0 an image is loaded and right, as far as can be told; 1 it is not; 3 none is loaded; 4 that can't be
told, for the helper gave no result.
"""

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from kdumphpd import client, messages
from kdumphpd.cli.text import plain
from kdumphpd.protocol import Outcome, Request

PATIENCE = 3 * 3600.0 + 60.0  # seconds; the helper's own limit

EXIT = {
    Outcome.CURRENT: 0,
    Outcome.UNVERIFIED: 0,
    Outcome.RELOADED: 0,
    Outcome.NOT_LOADED: 3,
    Outcome.BUSY: 4,
    Outcome.REFUSED: 4,
}
WRONG, UNKNOWN = 1, 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--now", action="store_true", help="also where the rate limit would defer a reload")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def run(options: argparse.Namespace, root: Path) -> int:
    if os.geteuid() != 0:
        print("kdumphpctl rearm has to be run as root: only root may load a kdump image", file=sys.stderr)
        return UNKNOWN

    def progress(step: str) -> None:
        print(f"… {plain(step)}", file=sys.stderr if options.json else sys.stdout, flush=True)

    request = Request.REARM_NOW if options.now else Request.REARM
    try:
        result = client.ask(root, request, PATIENCE, progress)
    except client.HelperUnavailable as error:
        print(plain(f"kdumphpctl: {error}"), file=sys.stderr)
        return UNKNOWN
    except KeyboardInterrupt:
        print("kdumphpctl: not waiting for the result; the helper goes on by itself", file=sys.stderr)
        return UNKNOWN
    if options.json:
        print(json.dumps(dataclasses.asdict(result), indent=1))
    else:
        print(plain(messages.what_was_done(result, changed=False)[1]))
    return EXIT.get(result.outcome, WRONG)
