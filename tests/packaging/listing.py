# SPDX-License-Identifier: GPL-2.0-or-later
"""What a root or a package holds, path by path, and in what our packages may differ.

A listing has each path's mode as `ls -l` writes it, without directories: a package owns only those of its own.
"""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]

Listing = Mapping[str, str]

ELSEWHERE = (
    # Modules: Debian has one folder for all versions of Python, others one for each.
    (r"/usr/lib/python3(\.\d+)?/(dist|site)-packages/", "{purelib}/"),
    # Completions: zsh looks into both; the first is Debian's for packages, the second is everybody else's.
    (r"/usr/share/zsh/(vendor-completions|site-functions)/", "{zsh}/"),
    # Packages have their man pages compressed, Debian's policy asks for that of longer documentation too.
    (r"(/usr/share/(man|doc)/.*)\.gz", r"\1"),
    # Debian's policy asks for this name.
    (r"/usr/share/doc/kdumphpd/changelog$", "/usr/share/doc/kdumphpd/CHANGELOG.md"),
)
"""The same file in another place: what its path is replaced by."""

OWN = (
    # What pip and rpm's dependency generator know a distribution by: the wheel's, and `make install` makes none.
    r"\{purelib\}/kdumphpd-[\d.]+\.dist-info/.*",
    # Debian's policy asks for these by name.
    r"/usr/share/doc/kdumphpd/((README|NEWS)\.Debian|changelog\.Debian|copyright)",
    # What Debian's reportbug adds to a report.
    r"/usr/share/bug/kdumphpd",
    # What Debian's lintian is not to complain of.
    r"/usr/share/lintian/overrides/kdumphpd",
)
"""What only some packages have."""


def of_root(root: Path) -> Listing:
    return _parse(_output("find", str(root), "-printf", "%M /%P\n"))


def of_rpm(package: Path) -> Listing:
    return _parse(_output("rpm", "-qp", "--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]", str(package)))


def of_deb(package: Path) -> Listing:
    # Mode, owner, size, date, time and path, which begins with a dot; where a link leads to.
    contents = re.sub(r"^(l.*) -> .*", r"\1", _output("dpkg-deb", "--contents", str(package)), flags=re.M)
    return _parse(re.sub(r"^(\S+) .*? \./", r"\1 /", contents, flags=re.M))


def common(listing: Listing) -> Listing:
    """What every root and package of ours should hold alike, by a path that they share."""
    shared = {}
    for path, mode in listing.items():
        name = path
        for pattern, replacement in ELSEWHERE:
            name = re.sub(f"^{pattern}", replacement, name)
        if not any(re.fullmatch(pattern, name) for pattern in OWN):
            assert name not in shared, f"{path} and another path are both taken for {name}"
            shared[name] = mode
    return shared


def _parse(lines: str) -> Listing:
    """Lines of a mode, a space and a path."""
    entries = (line.split(" ", 1) for line in lines.splitlines())
    return {path: mode for mode, path in entries if not mode.startswith("d")}


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
