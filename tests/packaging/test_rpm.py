# SPDX-License-Identifier: GPL-2.0-or-later
"""The RPM package, as built on Debian with packaging/rpm/macros in the place of Fedora's own macros."""

import os
import re
import subprocess
from pathlib import Path

import kdumphpd
from tests.packaging import listing, scratch
from tests.packaging.listing import CHECKOUT


def query(rpm: Path, *what: str) -> str:
    return subprocess.run(["rpm", "-qp", *what, rpm], stdout=subprocess.PIPE, text=True, check=True).stdout


def scriptlet(text: str, name: str) -> str:
    """One scriptlet of those that `rpm --scripts` shows."""
    found = re.search(rf"^{name} scriptlet .*\n((?:.*\n)*?)(?=\w+ scriptlet|\Z)", text, re.MULTILINE)
    assert found, f"there is no {name} scriptlet in:\n{text}"
    return found[1]


def content(path: Path) -> bytes:
    """What is in a file, or where a link leads to."""
    return os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()


def units_to_enable() -> list[str]:
    return sorted(path.name for path in (CHECKOUT / "systemd").iterdir() if "\n[Install]\n" in path.read_text())


def test_it_holds_what_make_install_installs(rpm: Path, installed: Path) -> None:
    assert listing.common(listing.of_rpm(rpm)) == listing.common(listing.of_root(installed))


def test_it_installs_the_same_bytes(rpm: Path, installed: Path, tmp_path: Path) -> None:
    database = "/.rpmdb"
    # rpm changes its root: what a user may in a namespace of its own.
    became_root = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
    # The package alone, where rpm makes the users of sysusers.d itself.
    alone = ["--nodeps", "--noscripts", "--define", "__systemd_sysusers %{nil}"]
    subprocess.run(
        [*became_root, "rpm", f"--root={tmp_path}", f"--dbpath={database}", *alone, "--install", rpm], check=True
    )
    found = {path: mode for path, mode in listing.of_root(tmp_path).items() if not path.startswith(f"{database}/")}
    assert found == listing.of_rpm(rpm)
    same_place = found.keys() & listing.of_root(installed).keys()
    assert "/usr/bin/kdumphpd" in same_place
    for path in same_place:
        assert content(tmp_path / path[1:]) == content(installed / path[1:]), path


def test_units_are_enabled_stopped_and_restarted_as_packages_do(rpm: Path) -> None:
    scriptlets = query(rpm, "--scripts")
    units = units_to_enable()
    assert units == ["kdumphpd-helper.socket", "kdumphpd.service"]
    for name, verb in (
        ("postinstall", "preset"),
        ("preuninstall", "disable --now"),
        ("postuninstall", "try-restart"),
    ):
        lines = [line.split() for line in scriptlet(scriptlets, name).splitlines() if f" {verb} " in line]
        assert [sorted(set(line) & set(units)) for line in lines] == [units], name


def test_an_administrators_configuration_survives_upgrades(rpm: Path) -> None:
    flags = dict(
        line.split() for line in query(rpm, "--queryformat", "[%{FILENAMES} _%{FILEFLAGS:fflags}\n]").splitlines()
    )
    assert {path for path, flag in flags.items() if "c" in flag} == {"/etc/kdumphpd.toml"}
    assert flags["/etc/kdumphpd.toml"] == "_cn"


def test_every_command_has_its_man_page(rpm: Path) -> None:
    files = listing.of_rpm(rpm)
    commands = [Path(path).name for path in files if path.startswith("/usr/bin/")]
    assert len(commands) == 2
    assert {f"/usr/share/man/man8/{name}.8.gz" for name in commands} <= files.keys()


def test_it_carries_its_licence(rpm: Path) -> None:
    (path,) = query(rpm, "--licensefiles").split()
    assert path.endswith("/LICENSE")


def test_version_and_changes_are_those_of_the_source(rpm: Path) -> None:
    assert query(rpm, "--queryformat", "%{VERSION}") == kdumphpd.__version__
    changes = query(rpm, "--changelog")
    assert re.match(rf"\* \w+ \w+ \d+ \d+ kdumphpd maintainers - {re.escape(kdumphpd.__version__)}-1\n", changes)
    entries = [line for line in (CHECKOUT / "CHANGELOG.md").read_text().splitlines() if line.startswith("- ")]
    assert [line for line in changes.splitlines() if line.startswith("- ")] == entries


def test_it_requires_what_it_imports_and_runs(rpm: Path) -> None:
    requires = query(rpm, "--requires").splitlines()
    assert {"kexec-tools", "systemd"} <= set(requires)
    # By the generator that reads dist-info, and so by no line of the spec.
    generated = set(re.findall(r"python3\.\d+dist\(([\w-]+)\)", "\n".join(requires)))
    assert generated == {"pydantic", "pyudev", "structlog", "systemd-python"}
    assert not [line for line in requires if re.match(r"python3-", line)]
    assert query(rpm, "--recommends").split() == ["kdump-utils"]


def test_on_opensuse_the_same_is_said_with_its_own_macros() -> None:
    # Its macros stay as they are written, for nothing defines them here.
    command = ("rpmspec", "--parse", "--define", "suse_version 1699", CHECKOUT / "packaging/rpm/kdumphpd.spec")
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    for macro in ("service_add_pre", "service_add_post", "service_del_preun", "service_del_postun"):
        (line,) = re.findall(rf"^%{macro} (.*)$", text, re.MULTILINE)
        assert sorted(line.split()) == units_to_enable()
    assert re.findall(r"^Recommends: *(\S+)$", text, re.MULTILINE) == ["kdump"]
    assert "pyproject-files" not in text
    for name in ("pydantic", "pyudev", "structlog", "systemd"):
        assert re.search(rf"^Requires: *python3-{name}$", text, re.MULTILINE)


def test_on_rhel_10_the_user_is_made_before_the_files_are_there() -> None:
    command = ("rpmspec", "--parse", "--define", "rhel 10", CHECKOUT / "packaging/rpm/kdumphpd.spec")
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert re.search(r"^%pre\n%sysusers_create_compat \S+/kdumphpd\.sysusers$", text, re.MULTILINE)


def test_rpm_installs_and_removes_it_with_its_scriptlets(rpm: Path, tmp_path: Path) -> None:
    """In a scratch root: the units are enabled as presets say, and nothing is left but what was there before."""
    said = scratch.run(
        tmp_path,
        f"""
        files > before
        rpm_ --install {rpm}
        links
        test -x root/usr/libexec/kdumphpd/helper
        rpm_ --verify kdumphpd
        rpm_ --erase kdumphpd
        echo removed
        links
        files | diff before -
        """,
    )
    enabled, removed = said.split("removed\n")
    assert {Path(line.split(" -> ")[0]).name for line in enabled.splitlines()} == set(units_to_enable())
    assert removed == ""


def test_the_policy_module_is_a_package_of_its_own(rpm: Path) -> None:
    (selinux,) = rpm.parent.glob("kdumphpd-selinux-*.rpm")
    assert "/usr/share/selinux/packages/targeted/kdumphpd.pp.bz2" in listing.of_rpm(selinux)
    version = query(rpm, "--queryformat", "%{VERSION}-%{RELEASE}")
    wanted = f"(kdumphpd-selinux = {version} if selinux-policy-targeted)"
    assert wanted in query(rpm, "--requires").splitlines()
    scriptlets = query(selinux, "--scripts")
    for name, action in (
        ("postinstall", "-i /usr/share/selinux/packages/targeted"),
        ("postuninstall", "-r kdumphpd"),
    ):
        assert action in scriptlet(scriptlets, name)
