# SPDX-License-Identifier: GPL-2.0-or-later
"""kdumphpctl: what an operator asks kdumphpd. One module a verb, each with `add_arguments` and `run`."""

import argparse
import io
import sys
from importlib import import_module
from pathlib import Path

from kdumphpd import __version__

VERBS = ("status", "inspect", "verify", "rearm")


def main() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may know fewer characters than a path has
    # One verb is asked for; what the others stand on takes longer to import than the work of this one.
    asked = [verb for verb in VERBS if sys.argv[1:2] == [verb]] or VERBS
    modules = {verb: import_module(f"{__name__}.{verb}") for verb in asked}
    parser = argparse.ArgumentParser(prog="kdumphpctl", description="See and steer how kdumphpd keeps kdump armed.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in modules.items():
        summary = (module.__doc__ or "").strip().splitlines()[0]
        module.add_arguments(verbs.add_parser(name, help=summary, description=summary))
    options = parser.parse_args()
    sys.exit(modules[options.verb].run(options, Path("/")))
