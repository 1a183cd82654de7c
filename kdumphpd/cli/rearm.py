# SPDX-License-Identifier: GPL-2.0-or-later
"""Check the loaded kdump image now, and reload it if it is out of date (root only).

Exit status: 0 an image is loaded and right, as far as can be told; 1 it is not; 3 none is loaded; 4 that can't be
told, for the helper gave no result or was not waited for. Ctrl-C leaves an image loaded: before the load begins the
old one is, and a load that has begun is waited for.
"""

import argparse
import contextlib
import dataclasses
import os
from pathlib import Path

from kdumphpd import client, messages
from kdumphpd.cli import exits, facts
from kdumphpd.cli.output import fail, field, show
from kdumphpd.cli.steps import Steps, follow
from kdumphpd.protocol import PATIENCE, Outcome, Request, Result

GOES_ON = "the helper goes on by itself, and kdumphpctl status says what came of it"

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
    steps = Steps(options)
    try:
        with contextlib.closing(client.Conversation(root)) as conversation:
            conversation.request(Request.REARM_NOW if options.now else Request.REARM)
            result = _wait(conversation, steps, root)
    except client.HelperUnavailable as error:
        steps.end()
        fail(str(error))
        return exits.UNKNOWN
    if result is None:
        return exits.UNKNOWN
    sentence = messages.what_was_done(result, changed=False)[1]
    content = {**dataclasses.asdict(result), "sentence": sentence, "steps": steps.done}
    show(options, content, [field("", sentence, width=0)])
    return EXIT.get(result.outcome, exits.WRONG)


def _wait(conversation: client.Conversation, steps: Steps, root: Path) -> Result | None:
    """The result; None where the operator waits for it no longer. Raises HelperUnavailable.

    The helper goes on whoever waits. A load that has begun is over in seconds and ends with an image, so that is
    waited for; before it, the image that was loaded is still there.
    """
    try:
        return follow(conversation, steps, PATIENCE)
    except KeyboardInterrupt:
        steps.end()
        load = facts.last_load(root)
    if load is None or not load.pending:
        fail(f"not waiting any longer: {facts.loaded_in_words(root)}, as before; {GOES_ON}")
        return None
    fail("a load is under way; waiting for its end, so that an image is loaded (press Ctrl-C again not to wait)")
    try:
        return follow(conversation, steps, PATIENCE)
    except KeyboardInterrupt:
        steps.end()
        fail(f"not waiting any longer: {facts.loaded_in_words(root)} at this moment; {GOES_ON}")
        return None
