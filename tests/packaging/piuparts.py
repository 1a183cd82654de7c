# SPDX-License-Identifier: GPL-2.0-or-later
"""`make piuparts`: the Debian package installed, removed and purged in a clean chroot, and what it leaves there.

Debian 13's, from this machine's own apt sources. Takes root. The log is build/piuparts/piuparts.log.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.vm import deb, sources, tool
from tests.vm.tool import BuildError

OUTPUT = deb.CHECKOUT / "build" / "piuparts"
RELEASE = deb.RELEASE


def base(directory: Path) -> Path:
    """Make the chroot as piuparts takes it. Raises BuildError."""
    archive = directory / "base.tar.gz"
    listed = directory / "sources.list"

    def unpack(lines: str) -> None:
        listed.write_text(lines)
        tool.run("mmdebstrap", "--variant=minbase", RELEASE.suite, str(archive), str(listed))

    sources.first_that_works(RELEASE, unpack, updates=True)
    return archive


def main() -> int:
    """Run it; returns piuparts' exit status."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    log = OUTPUT / "piuparts.log"
    try:
        package = deb.package()
        mirror = next(archive.uri for archive in sources.archives(RELEASE) if archive.addition == "")
        with tempfile.TemporaryDirectory(prefix="kdumphpd-") as folder:
            command = (
                *("piuparts", f"--basetgz={base(Path(folder))}", f"--distribution={RELEASE.suite}"),
                *(f"--mirror={mirror} main", f"--log-file={log}", "--no-eatmydata", "--warn-on-others"),
                str(package),
            )
            status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    except (BuildError, FileNotFoundError) as error:
        print(f"{error}; is piuparts installed?" if isinstance(error, OSError) else error, file=sys.stderr)
        return 1
    print(log.read_text().splitlines()[-1], f"({log})")
    return status


if __name__ == "__main__":
    sys.exit(main())
