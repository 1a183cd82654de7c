# SPDX-License-Identifier: GPL-2.0-or-later
"""A loader that is asked what it would load."""

import os
from pathlib import Path

import pytest

from kdumphpd.load import recording
from kdumphpd.load.recording import CALLS, RECORDER, Recipe, Recording
from kdumphpd.sysfs import BOOT_ID
from tests.unit.load.transient import install
from tests.unit.trees import put

LOAD = ["-p", "--append=quiet", "--initrd=/boot/initrd", "/boot/vmlinuz"]


def call(*words: str) -> bytes:
    """As record-kexec writes it."""
    return b"".join(os.fsencode(word) + b"\0" for word in (str(len(words)), *words))


def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a merged /usr, a loader's configuration, and something in systemd's place."""
    put(
        tmp_path,
        {
            "usr/sbin/kexec": "kexec",
            RECORDER.lstrip("/"): "recorder",
            "boot/vmlinuz": "kernel",
            "boot/initrd": "initrd",
            "etc/kdump.conf": "path /var/crash\n",
            "etc/kdump/pre.d/a.sh": "",
            BOOT_ID: "5c7d6f7e-0000-4000-8000-000000000001\n",
        },
    )
    (tmp_path / "sbin").symlink_to("usr/sbin")
    install(tmp_path, monkeypatch)
    return tmp_path


def recipe(root: Path, script: str = "") -> Recipe:
    """A loader that does `script` and loads, by writing down what kexec would have been told."""
    put(root, {"load": f"cat {root}/call >>{root / CALLS}\n{script}\n"})
    (root / "call").write_bytes(call("-p", "-u") + call(*LOAD))
    return Recipe(
        ("/bin/sh", str(root / "load")),
        properties=("KeyringMode=shared",),
        inputs=("/etc/kdump.conf", "/etc/kdump/pre.d/*", "/etc/sysconfig/kdump"),
    )


def record(root: Path, recipe: Recipe, limit: float) -> Recording:
    """Ask it."""
    return recording.record(root, recipe, recording.read_inputs(root, recipe), limit)
