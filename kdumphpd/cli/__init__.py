# SPDX-License-Identifier: GPL-2.0-or-later
"""kdumphpctl: what an operator asks kdumphpd. One module a verb, each with `add_arguments` and `run`.

A verb's module says in the first line of its docstring what it shows, and its exit statuses in the rest. The options
of all verbs, and how an answer is printed, are in output.py. They may stand before the verb or after it.
"""

import argparse
import io
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from kdumphpd import __version__
from kdumphpd.cli import exits, output
from kdumphpd.cli.arguments import arrange

VERBS = ("status", "check", "doctor", "explain", "history", "watch", "plot", "inspect", "verify", "rearm")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """An option whose value is optional as systemd writes it."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if action.dest == "json":
            return "-j, --json[=MODE]"
        return super()._format_action_invocation(action)


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know fewer characters than a path has
    words = arrange(sys.argv[1:])
    # One verb is asked for; what the others stand on takes longer to import than the work of this one.
    modules = {
        verb: import_module(f"{__name__}.{verb}") for verb in VERBS if words[:1] == [verb] or words[0] not in VERBS
    }
    common = argparse.ArgumentParser(add_help=False)
    output.add_arguments(common)
    parser = argparse.ArgumentParser(
        prog="kdumphpctl",
        description="See and steer how kdumphpd keeps kdump armed. Without a verb: status.",
        epilog=exits.table(),
        formatter_class=_Formatter,
        parents=[common],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in modules.items():
        summary, _, rest = (module.__doc__ or "").strip().partition("\n")
        module.add_arguments(
            verbs.add_parser(
                name,
                help=summary,
                description=summary,
                epilog=rest.strip(),
                formatter_class=_Formatter,
                parents=[common],
                allow_abbrev=False,
            )
        )
    options = parser.parse_args(words)
    sys.exit(_run(options, modules[options.verb].run))


def _run(options: argparse.Namespace, run: Callable[[argparse.Namespace, Path], int]) -> int:
    """The verb's exit status; a reader that has gone away is no error of ours."""
    status = exits.UNKNOWN
    try:
        status = run(options, Path("/"))
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain of it once more when it ends. Source: its documentation of SIGPIPE.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.WRONG
    except KeyboardInterrupt:
        # As a program ends that does not handle it: whoever runs us in a loop sees that it was Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    return status
