# SPDX-License-Identifier: GPL-2.0-or-later
"""Check the loaded kdump image now, and reload it if it is out of date (root only).

Exit status: 0 an image is loaded and right, as far as can be told; 1 it is not; 3 none is loaded; 4 that can't be
told, for the helper gave no result.
"""

import argparse
import dataclasses
import os
from pathlib import Path

from kdumphpd import client, messages
from kdumphpd.cli import exits
from kdumphpd.cli.output import fail, field, note, show
from kdumphpd.protocol import Outcome, Request

PATIENCE = 3 * 3600.0 + 60.0  # seconds; the helper's own limit

EXIT = {
    Outcome.CURRENT: exits.ARMED,
    Outcome.UNVERIFIED: exits.ARMED,
    Outcome.RELOADED: exits.ARMED,
    Outcome.NOT_LOADED: exits.NOT_LOADED,
    Outcome.BUSY: exits.UNKNOWN,
    Outcome.REFUSED: exits.UNKNOWN,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--now", action="store_true", help="also where the rate limit would defer a reload")


def run(options: argparse.Namespace, root: Path) -> int:
    if os.geteuid() != 0:
        fail("rearm has to be run as root: only root may load a kdump image")
        return exits.UNKNOWN
    request = Request.REARM_NOW if options.now else Request.REARM
    try:
        result = client.ask(root, request, PATIENCE, lambda step: note(options, f"... {step}"))
    except client.HelperUnavailable as error:
        fail(str(error))
        return exits.UNKNOWN
    except KeyboardInterrupt:
        fail("not waiting for the result; the helper goes on by itself")
        return exits.UNKNOWN
    sentence = messages.what_was_done(result, changed=False)[1]
    show(options, dataclasses.asdict(result), [field("", sentence, width=0)])
    return EXIT.get(result.outcome, exits.WRONG)
