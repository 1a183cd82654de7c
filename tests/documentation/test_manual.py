# SPDX-License-Identifier: GPL-2.0-or-later
"""The documentation says what the programs do, no more and no less, and every reader of man pages takes its pages."""

import re
import subprocess
import tomllib
from importlib import import_module
from itertools import product
from pathlib import Path

import pytest

from kdumphpd import config, fields
from kdumphpd.cli import VERBS, exits, verify
from kdumphpd.config import LoaderChoice
from kdumphpd.kernel.crash_hotplug import Subsystem
from kdumphpd.listener import daemon, report
from kdumphpd.listener.coalesce import Coalescer, Uevent
from kdumphpd.listener.schedule import Ask
from kdumphpd.messages import MessageId
from kdumphpd.protocol import FOR_ROOT, Outcome, Reason, Request, Result
from kdumphpd.state import LastCheck, State
from tests.documentation.installed import CHECKOUT, options, tree

PAGES = ("man8/kdumphpd.8", "man8/kdumphpctl.8", "man5/kdumphpd.toml.5")


def path(page: str) -> Path:
    return tree() / "usr/share/man" / page


def section(page: str, title: str) -> str:
    """The source of one section of a page."""
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", path(page).read_text(), re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def documented_options(text: str) -> set[str]:
    """The options in mdoc's words: "Fl h , -help" is -h and --help."""
    lines = re.findall(r"^\.It .*?\bFl (.*)", text, re.MULTILINE)
    macros = {",", "Op", "Oo", "Oc", "Fl"}
    return {f"-{name}" for line in lines for name in line.split() if name not in macros}


def statuses(text: str) -> set[int]:
    return {int(number) for number in re.findall(r"^\.It (\d+)$", text, re.MULTILINE)}


# --- the pages themselves ---------------------------------------------------------------------------------


def test_these_pages_are_installed_and_no_others() -> None:
    folder = tree() / "usr/share/man"
    assert {str(page.relative_to(folder)) for page in folder.rglob("*") if page.is_file()} == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "reader",
    [
        ("mandoc", "-T", "lint", "-W", "warning"),
        ("groff", "-mdoc", "-Tutf8", "-ww", "-z"),
        ("man", "--warnings", "-l"),
    ],
    ids=lambda reader: reader[0],
)
def test_a_page_is_taken_without_a_warning(page: str, reader: tuple[str, ...]) -> None:
    done = subprocess.run([*reader, path(page)], capture_output=True, text=True, timeout=60, check=False)
    complaints = done.stderr + (done.stdout if reader[0] == "mandoc" else "")
    assert (complaints, done.returncode) == ("", 0)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_what_people_look_for(page: str) -> None:
    for title in ("NAME", "SYNOPSIS", "DESCRIPTION", "FILES", "EXAMPLES", "SEE ALSO"):
        if (page, title) != ("man8/kdumphpctl.8", "FILES"):
            assert section(page, title)


def test_the_units_point_at_pages_that_there_are() -> None:
    known = {f"man:{Path(page).stem}({page[-1]})" for page in PAGES}
    units = list((tree() / "usr/lib/systemd/system").iterdir())
    assert units
    for unit in units:
        named = re.findall(r"^Documentation=(.*)", unit.read_text(), re.MULTILINE)[0].split()
        assert named
        assert set(named) <= known
    catalog = (tree() / "usr/lib/systemd/catalog/kdumphpd.catalog").read_text()
    assert set(re.findall(r"^Documentation: (.*)", catalog, re.MULTILINE)) <= known


# --- kdumphpd(8) ------------------------------------------------------------------------------------------


def test_the_daemons_options_are_those_of_its_help() -> None:
    assert documented_options(section("man8/kdumphpd.8", "DESCRIPTION")) == options("kdumphpd")


def test_the_daemons_exit_statuses_are_told() -> None:
    # 2 is argparse's, 71 sysexits.h's EX_OSERR.
    assert statuses(section("man8/kdumphpd.8", "EXIT STATUS")) == {0, 2, 71, daemon.EXIT_CONFIG}


def test_every_journal_field_of_a_request_is_told() -> None:
    text = section("man8/kdumphpd.8", "JOURNAL")
    coalescer = Coalescer(1.0, 10.0)
    coalescer.mark_lost("something", 0.0)
    for number, (subsystem, action) in enumerate(product(Subsystem, ("add", "remove", "online", "offline"))):
        coalescer.feed(Uevent(subsystem, action, number), 0.0)
    closed = coalescer.close(100.0)
    assert closed is not None
    result = Result(Outcome.RELOADED, reason=Reason.STALE, loader="kexec", method="kexec -s")
    found = report.fields(Ask(Request.UPDATE, burst=closed[0]), result, 100.0)
    assert set(re.findall(r"KDUMPHPD_\w+", text)) == {f"KDUMPHPD_{name.upper()}" for name in found}


def test_every_value_of_the_journal_fields_is_told() -> None:
    text = section("man8/kdumphpd.8", "JOURNAL")
    values = {
        name: re.findall(r"^\.It Cm (\S+)", rest, re.MULTILINE)
        for name, rest in re.findall(r"^\.It Dv KDUMPHPD_(\w+)\n(.*?)(?=^\.It Dv|\Z)", text, re.DOTALL | re.MULTILINE)
    }
    # The listener asks for no other.
    assert set(values["REQUEST"]) == set(Request) - FOR_ROOT - {Request.CONFIGURATION}
    assert set(values["REASON"]) == set(Reason)
    # "unreadable" and "configured" are answers to requests that have no entry.
    assert set(values["OUTCOME"]) == set(Outcome) - {Outcome.CONFIGURED}


def test_every_status_is_explained() -> None:
    checks = [None, *(LastCheck(0, outcome, "x", updates, "") for outcome in Outcome for updates in (True, False))]
    flags = (True, False)
    situations = product(checks, flags, (True, False, None), flags, flags, (0.0, 1.0), ("", "x"), (None, 1.0))
    said = set()
    for check, receiving, loaded, burst, pending, deferred, failure, wait in situations:
        state = State(0, "", healthy=True, receiving=receiving, loaded=loaded, burst=burst, pending=pending)
        state.deferred_until, state.failure, state.last_check = deferred, failure, check
        said.add(report.status(state, wait))
    told = set(re.findall(r'^\.It "(.*)"', section("man8/kdumphpd.8", "DIAGNOSTICS"), re.MULTILINE))
    # What follows is what is wrong, and when the next try is.
    plain = {re.sub(r"(: x?)?(; next try in \d+ s|; see the journal)?$", "", text) for text in said}
    assert told == plain | {daemon.STATUS_REFUSED}


# --- kdumphpctl(8) ----------------------------------------------------------------------------------------


def verbs() -> dict[str, str]:
    """Verb → its part of the page, heading included."""
    pieces = re.split(r"^(?=\.It Cm )", section("man8/kdumphpctl.8", "VERBS"), flags=re.MULTILINE)[1:]
    return {piece.split()[2]: piece for piece in pieces}


def test_the_verbs_are_those_of_the_command() -> None:
    assert set(verbs()) == set(VERBS)
    synopsis = section("man8/kdumphpctl.8", "SYNOPSIS")
    assert set(re.findall(r"(?:Cm|\|) (\w+)", synopsis)) == set(VERBS)


def test_the_commands_options_are_those_of_its_help() -> None:
    assert documented_options(section("man8/kdumphpctl.8", "DESCRIPTION")) == options("kdumphpctl")


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_options_are_those_of_its_help(verb: str) -> None:
    of_all = options("kdumphpctl") - {"--version"}
    assert documented_options(verbs()[verb]) | of_all == options("kdumphpctl", verb)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_exit_statuses_are_those_that_its_module_names(verb: str) -> None:
    module = import_module(f"kdumphpd.cli.{verb}")
    assert module.__doc__ is not None
    named = module.__doc__.partition("Exit status: ")[2]
    assert named
    assert statuses(verbs()[verb]) == {int(number) for number in re.findall(r"\b\d\b", named)}


def test_the_exit_statuses_for_scripts_are_told() -> None:
    assert statuses(section("man8/kdumphpctl.8", "EXIT STATUS")) == set(exits.MEANING)
    assert statuses(verbs()["verify"]) == set(verify.EXIT.values())


# --- kdumphpd.toml(5) -------------------------------------------------------------------------------------


def test_every_key_is_told_with_its_default_and_what_it_takes() -> None:
    text = section("man5/kdumphpd.toml.5", "KEYS").replace(r"\(dq", '"')
    lines = [
        re.sub(r'^\.Ss |^\.It Va "|"$', "", line) for line in text.splitlines() if line.startswith((".Ss", ".It"))
    ]
    shown = tomllib.loads("\n".join(lines))
    assert fields.build(config.Config, shown) == config.Config()
    for name, defaults in config.sections():
        for key in defaults:
            assert f"Takes {config.expected(f'{name}.{key}')}." in text


def test_every_loader_is_explained() -> None:
    assert re.findall(r"^\.It Cm (\S+)", section("man5/kdumphpd.toml.5", "LOADERS"), re.MULTILINE) == list(
        LoaderChoice
    )


# --- docs/ ------------------------------------------------------------------------------------------------


def test_the_handbook_tells_every_kind_of_journal_entry() -> None:
    text = (CHECKOUT / "docs/operations.md").read_text()
    assert set(re.findall(r"`([0-9a-f]{32})`", text)) == set(MessageId)


@pytest.mark.parametrize(
    "page", [CHECKOUT / "README.md", *sorted(CHECKOUT.glob("docs/*.md"))], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        titles = re.findall(r"^#+ (.*)", linked.read_text(), re.MULTILINE)
        assert not anchor or anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_requests_that_the_helper_takes_are_told() -> None:
    table = re.findall(r"^\| `([\w-]+)` \|", (CHECKOUT / "docs/architecture.md").read_text(), re.MULTILINE)
    assert set(table) == set(Request)
