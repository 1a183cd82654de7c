# SPDX-License-Identifier: GPL-2.0-or-later
"""A unit of its own for a loader, where no systemd runs."""

from pathlib import Path

import pytest

from kdumphpd.reload import run


def run_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In systemd-run's place: runs what stands behind "--", with systemd's reading of "$$", and ends as that does."""
    program = folder / "systemd-run"
    program.write_text(
        """#!/bin/bash
while [ "$1" != -- ]; do shift; done
shift
exec "${@//'$$'/'$'}"
"""
    )
    program.chmod(0o755)
    monkeypatch.setattr(run, "SYSTEMD_RUN", str(program))
