# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package, built in a clean chroot: `make deb` is `python -m tests.vm.deb`.

The chroot is of one release, for the package is one for all of them. It is cached as a tar archive; every build
unpacks it and throws it away. Works as root and, through user namespaces, as anybody.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.vm import cache, sources, tool
from tests.vm.guests import GUESTS
from tests.vm.tool import BuildError

CHECKOUT = Path(__file__).parents[2]
OUTPUT = CHECKOUT / "build" / "deb"
RELEASE = GUESTS["debian13"]

# What neither a build of Python nor lintian reads, and half of what would have to be unpacked for each.
EXCLUDED = (
    *(f"/usr/share/{name}/*" for name in ("doc", "info", "locale", "man")),
    *("/usr/libexec/gcc/*", "/usr/lib/gcc/*", "/usr/bin/*-lto-dump*", "/usr/lib/*/*.a", "/usr/include/*"),
)

NO_SOURCE = (".*", "build", "__pycache__", "*.egg-info")

LAST_LINES = 40

# $1 is the chroot. A user of its own builds: nothing in a build is root's.
SCRIPT = """
set -e
chroot "$1" chown -R builder: /srv
chroot "$1" runuser -u builder -- env -i PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 sh -e <<'END' >&2
cd /srv/kdumphpd
{commands}
END
chroot "$1" rm -r /srv/kdumphpd
chroot "$1" chown -R root: /srv
"""

PACKAGE = "DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage --no-sign --build=all"

# debian/tests/unit is for the package as it is installed; what it holds is unpacked for it.
EVERYTHING = """\
dpkg-buildpackage --no-sign
AUTOPKGTEST_TMP=$(mktemp -d)
export AUTOPKGTEST_TMP
dpkg-deb --extract ../*.deb "$AUTOPKGTEST_TMP/package"
PYTHONPATH=$AUTOPKGTEST_TMP/package/usr/lib/python3/dist-packages debian/tests/unit
lintian --pedantic --display-info --display-experimental --fail-on=error,warning ../*.changes > ../lintian.txt ||
    { cat ../lintian.txt; exit 1; }
"""


def package(checkout: Path = CHECKOUT, version: str | None = None) -> Path:
    """Return the package of what `checkout` ships, or of that under another version.

    Built where no earlier run has, without the tests; of several processes one builds.
    """
    with tempfile.TemporaryDirectory(prefix="kdumphpd-") as folder:
        source = stage(checkout, Path(folder) / "kdumphpd", version, *NO_SOURCE, "tests")
        digest = cache.key(chroot(), SCRIPT, PACKAGE, _digest(source))
        name = "package" if version is None else f"package-{version}"
        built = cache.produce(
            checkout / "build" / "vm" / "deb", name, digest, lambda partial: _run_in_chroot(source, PACKAGE, partial)
        )
    (path,) = built.glob("*.deb")
    return path


def everything(directory: Path, checkout: Path = CHECKOUT) -> None:
    """Build source and package into `directory`, with the tests, and with lintian's report in lintian.txt.

    Raises BuildError, also for an error or a warning of lintian's.
    """
    with tempfile.TemporaryDirectory(prefix="kdumphpd-") as folder:
        _run_in_chroot(_stage_release(checkout, Path(folder)), EVERYTHING, directory)


def _stage_release(checkout: Path, folder: Path) -> Path:
    """Put the source archive of `checkout` into `folder`, and beside it the Debian source, as dpkg-source wants."""
    (version,) = re.findall(r'^__version__ = "(.*)"$', (checkout / "kdumphpd/__init__.py").read_text(), re.MULTILINE)
    archive = folder / f"kdumphpd_{version}.orig.tar.gz"
    tool.run(str(checkout / "packaging/make-dist"), str(archive))
    tree = folder / "kdumphpd"
    tree.mkdir()
    tool.run("tar", "-x", "--strip-components=1", "-C", str(tree), "-f", str(archive))
    shutil.copytree(tree / "packaging/debian", tree / "debian", copy_function=shutil.copy)
    return tree


def stage(checkout: Path, tree: Path, version: str | None, *ignored: str) -> Path:
    """Copy `checkout` to `tree` as a Debian source, with debian/ in its place; files as new as the copy."""
    shutil.copytree(checkout, tree, ignore=shutil.ignore_patterns(*ignored), copy_function=shutil.copy)
    shutil.copytree(tree / "packaging/debian", tree / "debian", copy_function=shutil.copy)
    if version:
        _replace(tree / "kdumphpd/__init__.py", r'(?<=__version__ = ")[^"]+', version)
        _replace(tree / "debian/changelog", r"(?<=^kdumphpd \()[^)]+", f"{version}-1")
    tool.run("chmod", "-R", "u=rwX,go=rX", str(tree))  # whatever the umask
    return tree


def chroot() -> Path:
    """Return the tar archive of a system that has what the package needs to be built, and lintian."""
    # passwd: for useradd, which a newer mmdebstrap does not take for a part of a system that builds.
    wanted = (*build_depends((CHECKOUT / "packaging/debian/control").read_text()), "lintian", "passwd")
    arguments = (
        *("mmdebstrap", "--variant=buildd", f"--include={','.join(wanted)}"),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
        *("--dpkgopt=force-unsafe-io", '--aptopt=Acquire::Check-Valid-Until "false"'),
        '--customize-hook=chroot "$1" useradd builder',
    )

    def make(directory: Path) -> None:
        listed = directory / "sources.list"

        def unpack(lines: str) -> None:
            listed.write_text(lines)
            tool.run(*arguments, RELEASE.suite, str(directory / "chroot.tar"), str(listed))

        sources.first_that_works(RELEASE, unpack, updates=True)
        (directory / "chroot.tar").chmod(0o644)  # whatever the umask: it is read in another user namespace

    made = cache.produce(cache.cache_root() / "chroots", RELEASE.suite, cache.key(arguments), make)
    return made / "chroot.tar"


def build_depends(control: str) -> tuple[str, ...]:
    """The packages of Build-Depends in debian/control, of every build profile."""
    (field,) = re.findall(r"^Build-Depends:\n((?: .+\n)+)", control, re.MULTILINE)
    return tuple(re.findall(r"^ ([^ ,]+)", field, re.MULTILINE))


def _run_in_chroot(source: Path, commands: str, directory: Path) -> None:
    """Run `commands` in a copy of `source`, and put into `directory` what they leave beside it, and build.log.

    Raises BuildError.
    """
    log = directory / "build.log"
    with chroot().open() as archive, log.open("w") as said:
        # Not by mmdebstrap's own tar-in: that is slow, and breaks where tar has seen the end before the last zeros
        # come. By its name in /proc the file is found from the chroot's user namespace, whatever the rights on the
        # way to it. There nobody may make devices, and mmdebstrap mounts those of this machine.
        devices = "" if os.geteuid() == 0 else "--exclude='./dev/*'"
        unpack = f'tar -x -p --numeric-owner {devices} -C "$1" -f /proc/self/fd/{archive.fileno()}'
        done = subprocess.run(
            (
                *("mmdebstrap", "--variant=custom", "--format=null", "--skip=setup,update,cleanup"),
                f"--setup-hook={unpack}",
                f"--customize-hook=sync-in {source.parent} /srv",
                f"--customize-hook={SCRIPT.format(commands=commands)}",
                f"--customize-hook=sync-out /srv {directory}",
                *(RELEASE.suite, "/dev/null"),
            ),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            pass_fds=(archive.fileno(),),
            check=False,
        )
    if done.returncode != 0:
        last = "\n".join(log.read_text().splitlines()[-LAST_LINES:])
        raise BuildError(f"the package could not be built, see {log}; its last lines:\n{last}")


def _digest(tree: Path) -> str:
    """Of every file's name, permission and content."""
    digest = hashlib.sha256()
    for path in sorted(path for path in tree.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(tree)}\0{path.stat().st_mode:o}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _replace(path: Path, pattern: str, text: str) -> None:
    path.write_text(re.sub(pattern, text, path.read_text(), count=1))


def main() -> int:
    """Build into build/deb; returns the exit code."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    try:
        everything(OUTPUT)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    sys.stdout.write((OUTPUT / "lintian.txt").read_text())
    print(*sorted(OUTPUT.glob("*.deb")), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
