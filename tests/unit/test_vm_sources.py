# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the guests of tests/vm get their packages, and what is said of a guest that gets none."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vm import __main__ as by_hand
from tests.vm import missing, sources, tool
from tests.vm.channel import VmLost
from tests.vm.guests import GUESTS, ROUTINE
from tests.vm.sources import Archive, NoSourceError
from tests.vm.tool import BuildError

MIRROR = "http://mirror.test/debian/"
SECURITY = "http://mirror.test/debian-security/"
CHECKOUT = Path(__file__).parents[2]
KNOWN = [Archive(MIRROR, ""), Archive(MIRROR, "-updates"), Archive(SECURITY, "-security")]
FOREIGN = GUESTS["debian13-ppc64el"]

GONE = f"""mmdebstrap failed with exit code 25:
Get:159 {MIRROR} trixie/main ppc64el zstd ppc64el 1.5.7+dfsg-1 [728 kB]
E: Failed to fetch {MIRROR}pool/main/g/glibc/libc6_2.41-12_ppc64el.deb  404  Not Found [IP: 192.0.2.1 80]
E: Failed to fetch {MIRROR}pool/main/a/apt/apt_3.0.4_ppc64el.deb  404  Not Found [IP: 192.0.2.1 80]
E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?"""
TORN = f"""mmdebstrap failed with exit code 25:
E: Failed to fetch {MIRROR}dists/trixie-updates/main/binary-ppc64el/Packages.xz  File has unexpected size \
(720 != 1108). Mirror sync in progress? [IP: 192.0.2.1 80]
   Hashes of expected file:
E: Some index files failed to download. They have been ignored, or old ones used instead."""
CORRUPT = f"E: Failed to fetch {MIRROR}pool/main/a/apt/apt_3.0.4_ppc64el.deb  Hash Sum mismatch"
NO_RELEASE = f"E: The repository '{MIRROR} trixie Release' does not have a Release file."
NO_PACKAGE = "E: Unable to locate package linux-image-powerpc64el"


def release(names: dict[str, tuple[str, str]]) -> Callable[[str, str], dict[str, str]]:
    """A mirror that has these suites, each with its Suite and Codename."""

    def ask(uri: str, suite: str) -> dict[str, str]:
        assert uri == MIRROR
        if suite not in names:
            raise BuildError(CORRUPT)
        return dict(zip(("Suite", "Codename"), names[suite], strict=True))

    return ask


WHOLE = release({"trixie": ("stable", "trixie"), "stable": ("stable", "trixie")})


def test_the_release_comes_first_under_both_names_and_then_with_its_updates() -> None:
    found = dict(sources.sources(FOREIGN, KNOWN, updates=False, release=WHOLE))
    assert list(found) == ["trixie", "stable", "trixie with updates", "stable with updates"]
    assert found["stable"] == f"deb {MIRROR} stable main\n"
    assert set(found["stable with updates"].splitlines()) == {
        f"deb {MIRROR} stable main",
        f"deb {MIRROR} stable-updates main",
        f"deb {SECURITY} stable-security main",
    }


def test_a_native_guest_has_the_updates_first() -> None:
    found = dict(sources.sources(GUESTS["debian13"], KNOWN, updates=True, release=WHOLE))
    assert list(found) == ["trixie with updates", "stable with updates", "trixie", "stable"]


def test_a_kernel_from_backports_has_them_in_every_source() -> None:
    known = [*KNOWN, Archive(MIRROR, "-backports")]
    found = dict(sources.sources(GUESTS["debian13-backports"], known, updates=True, release=WHOLE))
    assert all(f"deb {MIRROR} {name.split()[0]}-backports main\n" in lines for name, lines in found.items())


@pytest.mark.parametrize(
    "names",
    [
        {"trixie": ("stable", "trixie"), "stable": ("stable", "bookworm")},
        {"trixie": ("stable", "trixie")},
        {"trixie": ("trixie", "trixie")},
        {},
    ],
    ids=["another release", "no such suite", "one name", "nothing"],
)
def test_another_name_is_none_unless_it_leads_to_the_same_release(names: dict[str, tuple[str, str]]) -> None:
    found = dict(sources.sources(FOREIGN, KNOWN[:1], updates=False, release=release(names)))
    assert list(found) == ["trixie"]


def test_what_this_machine_gets_debian_from(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = f"bookworm main {MIRROR}\nbookworm contrib {MIRROR}\nbookworm-security main {SECURITY}\nother main http://x/\n"
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"VERSION_CODENAME": "bookworm"})
    monkeypatch.setattr(tool, "run", lambda *_: listing)
    assert sources.archives(GUESTS["debian13"]) == [Archive(SECURITY, "-security"), Archive(MIRROR, "")]
    assert Archive(MIRROR, "-backports") in sources.archives(GUESTS["debian13-backports"])
    monkeypatch.setattr(tool, "run", lambda *_: "other main http://x/\n")
    with pytest.raises(BuildError, match="no source for Debian 'bookworm'"):
        sources.archives(GUESTS["debian13"])


def attempt(*says: str) -> tuple[Callable[[str], None], list[str]]:
    """A build that fails with each of `says`, and then does not; and what it was given."""
    seen: list[str] = []

    def build(lines: str) -> None:
        seen.append(lines)
        if len(seen) <= len(says):
            raise BuildError(says[len(seen) - 1])

    return build, seen


@pytest.mark.parametrize("said", [GONE, TORN, CORRUPT, NO_RELEASE], ids=["404", "torn", "hash", "release"])
def test_what_cannot_be_fetched_is_looked_for_in_the_next_source(said: str) -> None:
    build, seen = attempt(said)
    sources.try_each(iter([("a", "1"), ("b", "2"), ("c", "3")]), build)
    assert seen == ["1", "2"]


def test_a_failure_of_another_kind_is_final() -> None:
    build, seen = attempt(NO_PACKAGE)
    with pytest.raises(BuildError, match="Unable to locate") as failure:
        sources.try_each(iter([("a", "1"), ("b", "2")]), build)
    assert not isinstance(failure.value, NoSourceError)
    assert seen == ["1"]


def test_where_no_source_works_each_is_named_with_its_reason_and_no_address() -> None:
    build, _ = attempt(GONE, TORN, NO_RELEASE)
    with pytest.raises(NoSourceError) as failure:
        sources.try_each(iter([("trixie", ""), ("stable", ""), ("both", "")]), build)
    first = "trixie: libc6_2.41-12_ppc64el.deb: 404 Not Found (and 1 more)"
    assert failure.value.reason == f"none of 3 apt sources has all packages; {first}"
    torn = "trixie-updates/main/binary-ppc64el/Packages.xz: File has unexpected size (720 != 1108)."
    assert str(failure.value).splitlines()[1:4] == [
        first,
        f"stable: {torn} Mirror sync in progress?",
        "both: The repository 'trixie Release' does not have a Release file.",
    ]
    assert "pool/main/a/apt" in str(failure.value)


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """missing.json of this test."""
    path = tmp_path / "vm/missing.json"
    monkeypatch.setattr(missing, "FILE", path)
    yield path
    assert path.exists()


def prepare(monkeypatch: pytest.MonkeyPatch, failures: dict[str, Exception], *arguments: str) -> int:
    """`python -m tests.vm prepare` where these guests cannot be prepared."""

    def one(name: str) -> str:
        if name in failures:
            raise failures[name]
        return name

    monkeypatch.setattr(by_hand, "_prepare", one)
    monkeypatch.setattr("sys.argv", ["tests.vm", "prepare", *arguments])
    return by_hand.main()


NOTHING = NoSourceError({"trixie": GONE})


@pytest.mark.parametrize(
    ("arguments", "status", "known"),
    [
        ((), 0, {"debian13-ppc64el": NOTHING.reason}),
        (("--require", "all"), 1, {}),
        (("debian13-ppc64el",), 1, {}),
        (("debian13",), 0, {}),
    ],
)
def test_a_guest_without_packages_is_missing_unless_it_is_required(
    noted: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], status: int, known: dict[str, str]
) -> None:
    assert prepare(monkeypatch, {"debian13-ppc64el": NOTHING}, *arguments) == status
    assert missing.read() == known


@pytest.mark.parametrize("name", ROUTINE)
def test_the_guests_of_every_scenario_are_required(noted: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert prepare(monkeypatch, {name: NOTHING}) == 1
    assert missing.read() == {}


@pytest.mark.parametrize("failure", [VmLost("no boot"), BuildError(NO_PACKAGE)], ids=["boot", "build"])
def test_a_guest_that_fails_otherwise_is_left_to_its_scenarios(
    noted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: Exception
) -> None:
    assert prepare(monkeypatch, {"debian13-ppc64el": failure}) == 0
    assert missing.read() == {}
    assert "debian13-ppc64el could not be prepared, and fails its scenarios." in capsys.readouterr().err


def test_a_guest_that_was_missing_is_forgotten_when_it_is_there(noted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(monkeypatch, {"debian13-ppc64el": NOTHING})
    prepare(monkeypatch, {}, "debian13")
    assert missing.read() == {"debian13-ppc64el": NOTHING.reason}
    prepare(monkeypatch, {})
    assert missing.read() == {}


def test_the_last_line_counts_and_names_what_was_not_run() -> None:
    counts = {"passed": 60, "failed": 1, "error": 2}
    assert missing.last_line(counts, 0, {}) == "60 passed, 3 failed, 0 not run"
    said = missing.last_line(counts, 5, {"debian13-ppc64el": "404"})
    assert said == "60 passed, 3 failed, 5 not run: debian13-ppc64el (404)"


def test_scenarios_of_a_missing_guest_are_skipped_and_the_run_passes(tmp_path: Path) -> None:
    """With pytest-xdist, as `make test-vm` runs them; no guest is started."""
    (tmp_path / "elsewhere.py").write_text(
        f"import pathlib\nfrom tests.vm import payload\npayload.BUILD = pathlib.Path({str(tmp_path)!r})\n"
    )
    (tmp_path / "missing.json").write_text(json.dumps({"debian13-ppc64el": "trixie: 404 Not Found"}))
    command = (sys.executable, "-m", "pytest", "-p", "elsewhere", "tests/vm/test_powerpc.py", "-n", "2")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "results.json").read_text())
    assert "ppc-memory-limit" in [row["name"] for row in rows]
    assert all(row["verdict"] == "not run: trixie: 404 Not Found" for row in rows)
    assert not any(row["ran"] or row["passed"] for row in rows)
    assert f"SKIPPED [{len(rows)}]" in done.stdout
    last = f"0 passed, 0 failed, {len(rows)} not run: debian13-ppc64el (trixie: 404 Not Found)"
    assert done.stdout.splitlines()[-1] == last
