# SPDX-License-Identifier: GPL-2.0-or-later
"""What several files say of one thing is the same."""

import re
import tomllib
from pathlib import Path

import pytest

from kdumphpd import __version__, protocol, runtime
from kdumphpd.cli import exits
from kdumphpd.listener import receive
from kdumphpd.load import recording
from kdumphpd.messages import MessageId

ROOT = Path(__file__).parents[2]


def test_the_changelogs_are_of_this_version() -> None:
    version, date = re.findall(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    debian = (ROOT / "packaging/debian/changelog").read_text().splitlines()[0]
    assert version == __version__
    assert debian.startswith(f"kdumphpd ({__version__}-1) ")
    assert ("UNRELEASED" in debian) == (date == "unreleased")


def test_every_address_of_ours_is_below_the_one_in_pyproject() -> None:
    homepage = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Homepage"]
    host = homepage.removeprefix("https://")
    folders = [path for path in (ROOT / "packaging").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    named = [path for path in folders if host in path.read_text(errors="replace")]
    assert {path.name for path in named} >= {"control", "kdumphpd.spec", "metadata", "watch"}
    for path in named:
        assert all(line.count(homepage) == line.count(host) for line in path.read_text().splitlines()), path


def test_what_is_shown_in_etc_is_a_default() -> None:
    def settings(path: str) -> set[str]:
        text = (ROOT / path).read_text()
        assert not re.search(r"^[^#\n]", re.sub(r"^\[.*\]$", "", text, flags=re.MULTILINE), re.MULTILINE)
        return set(re.findall(r"^#(\w+ = .+)$", text, re.MULTILINE))

    shown = settings("packaging/etc.toml")
    assert shown
    assert shown <= settings("packaging/kdumphpd.toml")


@pytest.mark.parametrize("unit", sorted((ROOT / "systemd").glob("*.service")), ids=lambda unit: unit.name)
def test_every_directive_of_a_service_has_its_reason_beside_it(unit: Path) -> None:
    """A comment above it, or above the group that it is in."""
    lines = unit.read_text().split("[Service]\n")[1].split("\n[")[0].splitlines()
    reasoned = False
    for line in lines:
        reasoned = line.startswith("#") or (reasoned and line != "")
        assert reasoned or not line, line


def settings(unit: str) -> dict[str, list[str]]:
    """A unit's directives, each with its values in order."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "systemd" / unit).read_text().splitlines():
        if line[:1].isalpha():
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("unit", sorted(path.name for path in (ROOT / "systemd").glob("kdumphpd*.[spt]*")))
def test_a_unit_names_only_units_of_ours_that_there_are(unit: str) -> None:
    words = {word for values in settings(unit).values() for value in values for word in value.split()}
    named = {word for word in words if re.fullmatch(r"kdumphpd[\w@-]*\.(service|socket|path|timer)", word)}
    assert {name for name in named if not (ROOT / "systemd" / name).exists()} == set()


def test_what_units_and_helper_run_is_what_is_installed() -> None:
    if not (ROOT / "Makefile").exists():
        pytest.skip("the package's own test has no Makefile")
    makefile = (ROOT / "Makefile").read_text()
    named = {
        word
        for unit in (ROOT / "systemd").glob("*.service")
        for word in re.findall(r"/usr/libexec/kdumphpd/([\w-]+)", unit.read_text())
    }
    assert named == {"helper", "udev-rules", "check-unit"}
    assert recording.RECORDER == "/usr/libexec/kdumphpd/record-kexec"
    assert "$(LIBEXEC)/helper:helper.request $(LIBEXEC)/check-unit:cli.unit" in makefile
    assert "-t $(DESTDIR)$(LIBEXEC) udev/udev-rules packaging/libexec/record-kexec" in makefile


def test_the_rules_are_masked_once_the_listener_is_up_and_unmasked_whatever_ends_it() -> None:
    service = settings("kdumphpd.service")
    assert service["ExecStartPost"] == ["+/usr/libexec/kdumphpd/udev-rules mask"]
    assert service["ExecStopPost"][0] == "+/usr/libexec/kdumphpd/udev-rules unmask"
    assert "ExecStartPre" not in service


def test_units_and_programs_agree() -> None:
    socket, helper = settings("kdumphpd-helper.socket"), settings("kdumphpd-helper@.service")
    assert socket["ListenStream"] == [f"/{runtime.SOCKET}"]
    assert (socket["SocketUser"], socket["SocketMode"]) == (["kdumphpd"], ["0600"])
    assert settings("kdumphpd-check.path")["PathChanged"] == [f"/{runtime.CONDITION}"]
    assert settings("kdumphpd-check.service")["SuccessExitStatus"] == [f"{exits.NOT_LOADED} SIGTERM"]
    assert [f"run/{name}" for name in helper["RuntimeDirectory"]] == [runtime.FOLDER]
    assert runtime.STATE.startswith(f"run/{settings('kdumphpd.service')['RuntimeDirectory'][0]}/")
    assert helper["RuntimeMaxSec"] == [f"{(protocol.PATIENCE - 60) / 3600:g}h"]
    assert settings("kdumphpd.socket")["ReceiveBuffer"] == [f"{receive.RECEIVE_BUFFER >> 20}M"]


def test_a_file_of_the_helpers_is_roots_alone_and_a_kexec_that_is_killed_does_not_end_it() -> None:
    helper = settings("kdumphpd-helper@.service")
    assert helper["UMask"] == ["0077"]
    assert helper["OOMPolicy"] == ["continue"]


def test_the_catalog_explains_every_kind_of_journal_entry() -> None:
    catalog = (ROOT / "systemd/kdumphpd.catalog").read_text()
    assert sorted(re.findall(r"^-- (\w+)$", catalog, re.MULTILINE)) == sorted(MessageId)
