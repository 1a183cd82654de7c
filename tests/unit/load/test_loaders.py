# SPDX-License-Identifier: GPL-2.0-or-later
"""The families' loaders: how each is asked what it would load."""

import subprocess
from pathlib import Path

import pytest

from kdumphpd.load.choose import DISTRIBUTIONS
from kdumphpd.load.loaders import Loader, kdump_tools

COMMAND = "{kexec} -p --command-line='root=/dev/vda1 nr_cpus=1 a=\"b c\"' --initrd=/var/lib/kdump/initrd.img /k"


@pytest.fixture
def kexec(tmp_path: Path) -> Path:
    """In kexec's place: writes down each argument on a line."""
    path = tmp_path / "kexec"
    path.write_text(f"""#!/bin/sh\nprintf '%s\\n' "$@" >{tmp_path}/arguments\n""")
    path.chmod(0o755)
    return path


def ask(folder: Path, said: str, status: int = 0) -> tuple[int, str]:
    """The status and the words of the question to a kdump-config whose `test` says that, on both streams."""
    program = folder / "kdump-config"
    (folder / "said").write_text(said)
    program.write_text(f'#!/bin/sh\n[ "$1" = test ] || exit 9\ncat {folder}/said >&2\nexit {status}\n')
    program.chmod(0o755)
    script = kdump_tools.ASK.replace(kdump_tools.KDUMP_CONFIG, str(program))
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout


def printed(kexec: Path, use: str = "1") -> str:
    """What `kdump-config test` prints."""
    return (
        f"USE_KDUMP:\t\t{use}\nKDUMP_COREDIR:\t\t/var/crash\ncrashkernel addr: 0x\n"
        f"kexec command to be used:\n  {COMMAND.format(kexec=kexec)}\n"
    )


def test_kdump_tools_runs_the_command_that_it_names_with_a_shells_reading_of_its_quotes(
    tmp_path: Path, kexec: Path
) -> None:
    assert ask(tmp_path, printed(kexec))[0] == 0
    assert (tmp_path / "arguments").read_text().splitlines() == [
        "-p",
        '--command-line=root=/dev/vda1 nr_cpus=1 a="b c"',
        "--initrd=/var/lib/kdump/initrd.img",
        "/k",
    ]


@pytest.mark.parametrize("use", ["0", ""])
def test_kdump_tools_that_is_switched_off_is_not_asked_for_a_command(tmp_path: Path, kexec: Path, use: str) -> None:
    # It prints one all the same, and exits with 0.
    status, said = ask(tmp_path, printed(kexec, use))
    assert status == 1
    assert "USE_KDUMP is not set or 0 in /etc/default/kdump-tools: kdump-tools is switched off" in said
    assert not (tmp_path / "arguments").exists()


def test_kdump_tools_that_names_no_command_is_said_to(tmp_path: Path) -> None:
    status, said = ask(tmp_path, "USE_KDUMP:\t\t1\nno crashkernel= parameter in the kernel cmdline\n")
    assert status == 1
    assert "kdump-config test names no kexec command" in said
    assert "no crashkernel= parameter" in said


def test_a_kdump_config_that_fails_is_quoted(tmp_path: Path, kexec: Path) -> None:
    status, said = ask(tmp_path, "unknown runtime system\n", status=1)
    assert (status, said) == (1, "unknown runtime system\n")


@pytest.mark.parametrize("loader", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_every_loader_says_how_it_is_asked_and_what_it_reads(loader: Loader) -> None:
    assert loader.program in (*loader.recipe.inputs, *loader.recipe.argv) or "*.sh" in str(loader.recipe.inputs)
    assert all(path.startswith("/") for path in loader.recipe.inputs)
    assert all(argv[0].startswith("/") for argv in (loader.recipe.argv, loader.reload, loader.load, loader.unload))
    assert all(unit.endswith(".service") for unit in loader.units)
