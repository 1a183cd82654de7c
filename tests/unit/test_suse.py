# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest

from kdumphpd.config import Config
from kdumphpd.reload import suse
from kdumphpd.reload.run import LoadFailed
from kdumphpd.reload.way import Method
from tests.unit.apart import run_here
from tests.unit.trees import put


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In load.sh's place: knows its one option, takes its lock, says what kexec says and ends with its status."""
    path = tmp_path / "load.sh"
    path.write_text(
        f"""#!/bin/sh
cd {tmp_path} || exit 1
for option; do
	[ "$option" = --update ] || exit 1
done
exec 9>lock
flock 9
echo "load $*" >>calls
busy=$(cat busy)
if [ "$busy" -gt 0 ]; then
	echo $((busy - 1)) >busy
	echo 'kexec_load failed: Device or resource busy' >&2
	echo 'kexec failed.' >&2
	exit 255
fi
exit "$(cat status)"
"""
    )
    path.chmod(0o755)
    put(tmp_path, {"busy": "0\n", "status": "0\n", "calls": ""})
    monkeypatch.setattr(suse, "LOAD", str(path))
    run_here(tmp_path, monkeypatch)
    return path


def calls(program: Path) -> list[str]:
    return (program.parent / "calls").read_text().splitlines()


def test_it_loads_over_the_old_image_and_rebuilds_nothing(program: Path) -> None:
    [way] = suse.ways(program.parent, Config())
    assert (way.name, way.method, way.updatable) == ("load.sh", Method.OWN, False)
    assert (way.kernel, way.initrd) == (Path("/var/lib/kdump/kernel"), Path("/var/lib/kdump/initrd"))
    with suse.lock(program.parent, Config()):
        way.load(30)
    assert calls(program) == ["load "]


def test_a_busy_kernel_is_tried_again(program: Path) -> None:
    put(program.parent, {"busy": "2\n"})
    suse.load(30)
    assert len(calls(program)) == 3


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (5, "KDUMP_FADUMP is set in /etc/sysconfig/kdump, but the kernel was not booted with fadump=on"),
        (6, "/var/lib/kdump/kernel or /var/lib/kdump/initrd is missing: `systemctl restart kdump.service` builds"),
    ],
)
def test_what_it_says_by_its_status_alone_is_put_into_words(program: Path, status: int, meaning: str) -> None:
    put(program.parent, {"status": f"{status}\n"})
    with pytest.raises(LoadFailed, match=rf"failed with status {status}: it said nothing; {meaning}"):
        suse.load(30)


def test_any_other_failure_stays_as_it_was(program: Path) -> None:
    put(program.parent, {"status": "1\n"})
    with pytest.raises(LoadFailed, match=r"load\.sh: .* failed with status 1: it said nothing$"):
        suse.load(30)
