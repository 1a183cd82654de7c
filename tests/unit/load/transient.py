# SPDX-License-Identifier: GPL-2.0-or-later
"""Transient units where no systemd runs."""

import os
from pathlib import Path

import pytest

from kdumphpd.load import run

# Runs what stands behind "--", with systemd's reading of "$$", its output where StandardOutput= says; a unit that
# fails stays until it is reset, and no other of its name can be started meanwhile.
SYSTEMD_RUN = """#!/bin/bash
cd "$(dirname "$0")"
printf '%s\\n' "$@" >arguments
output=/dev/null
while [ "$1" != -- ]; do
	case $1 in
	--unit=*) unit=${1#--unit=} ;;
	--property=StandardOutput=append:*) output=${1#--property=StandardOutput=append:} ;;
	esac
	shift
done
shift
if [ -e "$unit" ]; then
	echo "Failed to start transient service unit: Unit $unit was already loaded or has a fragment file." >&2
	exit 1
fi
if [ ! -x "$1" ]; then
	echo "Failed to find executable $1: No such file or directory" >&2
	exit 1
fi
(exec "${@//'$$'/'$'}") >>"$output" 2>&1
status=$?
[ $status -eq 0 ] && exit 0
code=1 result=exit-code
[ $status -gt 128 ] && code=2 result=signal && status=$((status - 128))
[ -e result ] && result=$(cat result)
printf '%s\\n' "ActiveState=failed" "Result=$result" "ExecMainCode=$code" "ExecMainStatus=$status" >"$unit"
exit 1
"""

SYSTEMCTL = """#!/bin/bash
cd "$(dirname "$0")"
unit=${!#}
case $1 in
show) cat "$unit" 2>/dev/null || echo ActiveState=inactive ;;
reset-failed) rm "$unit" ;;
esac
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have run_in_unit() talk to the two above; returns the folder in which they keep units and last arguments."""
    place = folder / "systemd"
    place.mkdir()
    for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)):
        (place / name).write_text(text)
        (place / name).chmod(0o755)
    monkeypatch.setattr(run, "SYSTEMD_RUN", str(place / "systemd-run"))
    monkeypatch.setattr(run, "SYSTEMCTL", str(place / "systemctl"))
    (folder / os.path.dirname(run.OUTPUT)).mkdir(parents=True, exist_ok=True)  # noqa: PTH120
    return place
