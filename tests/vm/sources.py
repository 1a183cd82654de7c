# SPDX-License-Identifier: GPL-2.0-or-later
"""Where packages come from: the first apt source that works, out of those that this machine's own apt leads to.

A mirror fetches what few ask for later than the rest, so the index of one architecture may be newer than the packages
behind it, or another one than its release has signed. A release has two names, "trixie" and "stable" say, and what is
incomplete under one may be whole under the other, which may lag behind by a point release.

The other release that we support is never a source for a guest. What a guest's scenarios test depends on the release:
kexec-tools of bookworm knows no --hotplug, and its kernels have no crash_hotplug; test_powerpc.py asks for both.
"""

import contextlib
import platform
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.vm import tool
from tests.vm.guests import Guest
from tests.vm.tool import BuildError

APT_HELPER = "/usr/lib/apt/apt-helper"

# What apt says where it could not get, or not verify, what it was to fetch.
FETCHING = re.compile(
    r"Failed to fetch|Unable to fetch|Mirror sync in progress|Hash Sum mismatch|File has unexpected size"
    r"|index files failed to download|does(?: not| no longer) have a Release file|is not signed"
    r"|is (?:expired|not valid yet)|doesn't support architecture"
)
FAILED = re.compile(r"Failed to fetch (?P<address>\S+)\s+(?P<what>.*)")


class NoSourceError(BuildError):
    """No source has all that was to be fetched; `reason` is that in one line, without addresses."""

    def __init__(self, said: Mapping[str, str]) -> None:
        """Expects what apt said of each source, by the source's name."""
        reasons = [f"{name}: {summary(words)}" for name, words in said.items()]
        self.reason = f"none of {len(said)} apt sources has all packages; {reasons[0]}"
        listed = "\n".join(reasons)
        super().__init__(
            f"no apt source has all packages:\n{listed}\nOf the first, apt said:\n{next(iter(said.values()))}"
        )


@dataclass(frozen=True)
class Archive:
    """A repository, and which suite of it: the release itself (""), or what is added to the name of the release."""

    uri: str
    addition: str

    def source(self, release: str) -> str:
        return f"deb {self.uri} {release}{self.addition} main\n"


def archives(guest: Guest) -> list[Archive]:
    """What this machine gets Debian from, as far as it is for the guest. Raises BuildError where that is nothing."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    wanted = "$(RELEASE) $(COMPONENT) $(REPO_URI)"
    listing = tool.run("apt-get", "indextargets", "--format", wanted, "Created-By: Packages")
    found = set()
    for release, component, uri in (line.split(maxsplit=2) for line in listing.splitlines()):
        if component == "main" and release in {codename, f"{codename}-updates", f"{codename}-security"}:
            found.add((uri, release.removeprefix(codename)))
            if release == codename and guest.backports:
                found.add((uri, "-backports"))
    if all(addition != "" for _, addition in found):
        raise BuildError(f"apt has no source for Debian {codename!r} (see `apt-get indextargets`)")
    return [Archive(uri, addition) for uri, addition in sorted(found)]


def sources(
    guest: Guest, known: list[Archive], *, updates: bool, release: Callable[[str, str], Mapping[str, str]]
) -> Iterator[tuple[str, str]]:
    """The guest's sources, best first: what to call each, and its lines in sources.list(5).

    The kernel and what it needs may be whole in the security and updates suites where they are not in the release,
    and the other way round; `updates` says which is tried first. `release` is release_file() or stands for it.
    """
    alone = [archive for archive in known if archive.addition not in {"-updates", "-security"}]
    names = [guest.suite]
    with contextlib.suppress(BuildError):  # then apt cannot have it either, and says why
        names += _other_name(guest, known, release)
    rounds = [(alone, "")]
    if alone != known:
        rounds.insert(0 if updates else 1, (known, " with updates"))
    for chosen, described in rounds:
        for name in names:
            yield f"{name}{described}", "".join(sorted(archive.source(name) for archive in chosen))


def _other_name(guest: Guest, known: list[Archive], release: Callable[[str, str], Mapping[str, str]]) -> list[str]:
    """What the release is called besides its code name, if that leads to the same release: mirrors may lag by one."""
    uri = next(archive.uri for archive in known if archive.addition == "")
    name = release(uri, guest.suite).get("Suite", guest.suite)
    if name == guest.suite or release(uri, name).get("Codename") != guest.suite:
        return []
    return [name]


def release_file(uri: str, suite: str) -> dict[str, str]:
    """The one-line fields of a suite's InRelease. Raises BuildError."""
    with tempfile.TemporaryDirectory(prefix="kdumphpd-") as folder:
        path = Path(folder) / "InRelease"
        Path(folder).chmod(0o755)  # apt fetches as a user of its own
        tool.run(APT_HELPER, "download-file", f"{uri.rstrip('/')}/dists/{suite}/InRelease", str(path))
        fields = re.findall(r"^([A-Z][A-Za-z-]+): (.+)$", path.read_text(), re.MULTILINE)
    return dict(fields)


def first_that_works(guest: Guest, build: Callable[[str], None], *, updates: bool) -> None:
    """Call `build` with the lines of one source after the other, until it can fetch all it needs.

    Raises NoSourceError after the last, and any BuildError that is not about fetching at once.
    """
    try_each(sources(guest, archives(guest), updates=updates, release=release_file), build)


def try_each(candidates: Iterator[tuple[str, str]], build: Callable[[str], None]) -> None:
    """first_that_works() with these sources."""
    said = {}
    for name, lines in candidates:
        try:
            build(lines)
        except BuildError as error:
            if not FETCHING.search(str(error)):
                raise
            said[name] = str(error)
        else:
            return
    raise NoSourceError(said)


def summary(said: str) -> str:
    """The first thing that apt could not fetch and why, and how many more there were; without addresses."""
    failures = [(found["address"], found["what"]) for found in FAILED.finditer(said)]
    if not failures:
        line = next(line for line in said.splitlines() if FETCHING.search(line))
        return _plain(line)
    address, what = failures[0]
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    file = re.sub(r".*/dists/|.*/", "", address, count=1)
    return f"{file}: {_plain(what)}{more}"


def _plain(text: str) -> str:
    """One line of apt's without its mark, and without addresses."""
    text = re.sub(r"\[IP: .*?\]|\w+://\S+ ?|^[EW]: ", "", text)
    return " ".join(text.split())
