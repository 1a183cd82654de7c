# SPDX-License-Identifier: GPL-2.0-or-later
import functools
import os
import tomllib
from pathlib import Path

import pytest

from kdumphpd import config, config_file
from kdumphpd.config import Config, LoaderChoice, Verify, expected
from kdumphpd.config_file import ADMIN_FILE, VENDOR_FILE, ConfigError, load
from tests.unit.trees import put

VENDOR_DROPIN = "usr/lib/kdumphpd/kdumphpd.toml.d"
ADMIN_DROPIN = "etc/kdumphpd.toml.d"


def refused(root: Path, text: str) -> str:
    """What the operator is told about an administrator's file with `text` in it."""
    put(root, {ADMIN_FILE: text})
    with pytest.raises(ConfigError) as caught:
        load(root)
    return str(caught.value)


def test_no_file_at_all_means_all_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings == Config()
    assert (settings.events.settle_time, settings.events.max_delay) == (1.0, 10.0)
    assert settings.reload.loader is LoaderChoice.AUTO
    assert settings.verify.image is Verify.ALWAYS


def test_every_key_can_be_set(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            ADMIN_FILE: """
            [events]
            settle_time = 2
            max_delay = 30.5
            [reload]
            loader = "kexec"
            timeout = 60
            [reload.kexec]
            kernel = "/boot/vmlinuz"
            initrd = "/boot/initrd"
            command_line = "nr_cpus=1 quiet"
            [verify]
            image = "in-doubt"
            """
        },
    )
    settings = load(tmp_path)
    assert (settings.events.settle_time, settings.events.max_delay) == (2.0, 30.5)
    assert (settings.reload.loader, settings.reload.timeout) == (LoaderChoice.KEXEC, 60.0)
    assert settings.reload.kexec.command_line == "nr_cpus=1 quiet"
    assert settings.verify.image is Verify.IN_DOUBT


def test_the_file_that_is_shipped_shows_every_key_with_its_default(tmp_path: Path) -> None:
    shipped = (Path(__file__).parents[2] / "packaging/kdumphpd.toml").read_text()
    put(tmp_path, {VENDOR_FILE: shipped})
    assert load(tmp_path) == Config()
    lines = shipped.splitlines()
    put(tmp_path, {VENDOR_FILE: "\n".join(line.removeprefix("#") if "# " not in line else "" for line in lines)})
    assert load(tmp_path) == Config()
    shown = tomllib.loads((tmp_path / VENDOR_FILE).read_text())
    for name, defaults in config.sections():
        table = functools.reduce(lambda table, section: table[section], name.split("."), shown)
        assert {key for key, value in table.items() if not isinstance(value, dict)} == set(defaults)


# --- merging ----------------------------------------------------------------------------------------------


def test_the_administrators_file_wins_key_by_key(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            VENDOR_FILE: "[events]\nsettle_time = 2\nmax_delay = 20\n",
            ADMIN_FILE: "[events]\nsettle_time = 3\n",
        },
    )
    assert load(tmp_path).events == config.EventsConfig(settle_time=3.0, max_delay=20.0)


def test_drop_ins_come_after_both_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            ADMIN_FILE: "[events]\nsettle_time = 1\n",
            f"{ADMIN_DROPIN}/10-a.toml": "[events]\nsettle_time = 4\nmax_delay = 40\n",
            f"{VENDOR_DROPIN}/20-b.toml": "[events]\nsettle_time = 5\n",
        },
    )
    assert load(tmp_path).events == config.EventsConfig(settle_time=5.0, max_delay=40.0)


def test_the_administrators_drop_in_replaces_the_vendors_of_that_name(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            f"{VENDOR_DROPIN}/10-a.toml": "[events]\nsettle_time = 4\nmax_delay = 40\n",
            f"{ADMIN_DROPIN}/10-a.toml": "[events]\nsettle_time = 5\n",
        },
    )
    assert load(tmp_path).events == config.EventsConfig(settle_time=5.0)


def test_a_link_to_nothing_masks_the_vendors_drop_in(tmp_path: Path) -> None:
    put(tmp_path, {f"{VENDOR_DROPIN}/10-a.toml": "[events]\nsettle_time = 4\n"})
    (tmp_path / ADMIN_DROPIN).mkdir(parents=True)
    (tmp_path / ADMIN_DROPIN / "10-a.toml").symlink_to("/dev/null")
    assert load(tmp_path) == Config()


def test_only_files_named_toml_are_drop_ins(tmp_path: Path) -> None:
    put(tmp_path, {f"{ADMIN_DROPIN}/10-a.toml.bak": "nonsense", f"{ADMIN_DROPIN}/README": "nonsense"})
    assert load(tmp_path) == Config()


def test_a_dotted_key_is_the_same_as_a_section(tmp_path: Path) -> None:
    put(tmp_path, {ADMIN_FILE: 'events.settle_time = 2\nreload.kexec.kernel = "/k"\n'})
    settings = load(tmp_path)
    assert settings.events.settle_time == 2.0
    assert settings.reload.kexec.kernel == "/k"


# --- what is refused, and how it is said -------------------------------------------------------------------


def test_a_number_out_of_bounds_names_file_key_value_and_bounds(tmp_path: Path) -> None:
    said = refused(tmp_path, "[events]\nsettle_time = 0\n")
    assert said == f"{tmp_path / ADMIN_FILE}: events.settle_time is 0; expected a number from 0.05 to 60"


def test_the_file_named_is_the_one_that_set_the_key(tmp_path: Path) -> None:
    put(
        tmp_path, {ADMIN_FILE: "[events]\nsettle_time = 2\n", f"{ADMIN_DROPIN}/x.toml": "[events]\nmax_delay = 1e9\n"}
    )
    with pytest.raises(ConfigError, match=r"x\.toml: events\.max_delay is 1000000000\.0; expected a number"):
        load(tmp_path)


def test_every_wrong_value_is_named_not_only_the_first(tmp_path: Path) -> None:
    said = refused(tmp_path, "[events]\nsettle_time = 0\n[reload]\ntimeout = 0\n")
    assert "events.settle_time" in said
    assert "reload.timeout" in said


def test_a_choice_that_does_not_exist_names_those_that_do(tmp_path: Path) -> None:
    said = refused(tmp_path, '[reload]\nsyscall = "grub"\n')
    assert said.endswith('reload.syscall is \'grub\'; expected "auto" or "file" or "load"')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[events]\nsettle_time = true\n", "events.settle_time is True; expected a number"),
        ('[events]\nsettle_time = "1"\n', "events.settle_time is '1'; expected a number"),
        ("[events]\nsettle_time = [1]\n", "events.settle_time is [1]; expected a number"),
        ("[reload.kexec]\nkernel = 3\n", "reload.kexec.kernel is 3; expected a text in quotation marks"),
        ("[reload]\nmake_updatable = 1\n", "reload.make_updatable is 1; expected true or false"),
        ('[reload]\nmake_updatable = "yes"\n', "reload.make_updatable is 'yes'; expected true or false"),
        ('[reload]\ncommand = "kexec -p"\n', "reload.command is 'kexec -p'; expected a list of texts"),
        ("[reload]\ncommand = [1]\n", "reload.command is [1]; expected a list of texts"),
        ("[reload]\nmax_unprotected = 0\n", "reload.max_unprotected is 0; expected a number from 0.001 to 1"),
        ('[reload]\nloader = "kexec"\n', 'loader = "kexec" needs reload.kexec.kernel, which is not set'),
        ('[reload]\nloader = "command"\n', 'loader = "command" needs reload.command, which is not set'),
        ("[reload]\nloader = 1\n", 'reload.loader is 1; expected "auto"'),
        ("[verify]\nimage = false\n", 'verify.image is False; expected "always"'),
        ("[events]\nsettle_time = nan\n", "events.settle_time is nan; expected a number"),
        ("[events]\nmax_delay = inf\n", "events.max_delay is inf; expected a number"),
        ("[events]\nsettle_time = -1.0\n", "events.settle_time is -1.0; expected a number"),
        (f"[events]\nsettle_time = 1{'0' * 400}\n", "expected a number from 0.05 to 60"),
        (f"[events]\nsettle_time = -1{'0' * 400}\n", "expected a number from 0.05 to 60"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_in_the_same_words(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


def test_an_unknown_key_names_the_known_ones(tmp_path: Path) -> None:
    said = refused(tmp_path, "[events]\nquite = 1\n")
    assert said == f"{tmp_path / ADMIN_FILE}: unknown key events.quite; known here: max_delay, settle_time"


def test_an_unknown_section_names_the_known_ones(tmp_path: Path) -> None:
    assert refused(tmp_path, "[evnets]\n").endswith("unknown key evnets; known here: events, reload, verify")


def test_a_section_that_is_a_value_is_shown_how_to_be_written(tmp_path: Path) -> None:
    assert refused(tmp_path, "events = 1\n").endswith("events is a section, write it as [events]")
    assert refused(tmp_path, 'reload.kexec = "x"\n').endswith("reload.kexec is a section, write it as [reload.kexec]")


def test_a_burst_that_would_end_before_it_has_settled_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, "[events]\nsettle_time = 5\nmax_delay = 2\n")
    assert "events.max_delay (2.0 s) is shorter than events.settle_time (5.0 s)" in said
    assert str(tmp_path / ADMIN_FILE) in said


def test_a_settle_time_beyond_the_default_delay_names_the_file_that_set_it(tmp_path: Path) -> None:
    assert refused(tmp_path, "[events]\nsettle_time = 50\n").startswith(f"{tmp_path / ADMIN_FILE}: ")


@pytest.mark.parametrize("text", ["[events\n", "a = \n", "[events]\n[events]\n", 'x = "\\q"\n', f"a = {'[' * 5000}"])
def test_what_is_not_toml_is_refused_with_the_files_name(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).startswith(f"{tmp_path / ADMIN_FILE} is not valid TOML: ")


def test_a_number_longer_than_python_reads_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, f"[events]\nsettle_time = 1{'0' * 5000}\n").startswith(f"{tmp_path / ADMIN_FILE}")


def test_what_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    put(tmp_path, {ADMIN_FILE: ""})
    (tmp_path / ADMIN_FILE).write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load(tmp_path)


def test_a_file_beyond_all_measure_is_refused(tmp_path: Path) -> None:
    assert "is larger than" in refused(tmp_path, "#" * (config_file.MAX_FILE + 1))


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / ADMIN_FILE).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"cannot read .*kdumphpd\.toml: Is a directory"):
        load(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("closed", [ADMIN_FILE, ADMIN_DROPIN, "etc"])
def test_what_may_not_be_read_is_refused(tmp_path: Path, closed: str) -> None:
    put(tmp_path, {ADMIN_FILE: "", f"{ADMIN_DROPIN}/x.toml": ""})
    mode = (tmp_path / closed).stat().st_mode
    (tmp_path / closed).chmod(0)
    try:
        with pytest.raises(ConfigError, match=r"cannot (read|list) .*: Permission denied"):
            load(tmp_path)
    finally:
        (tmp_path / closed).chmod(mode)


def test_a_file_where_the_drop_ins_folder_belongs_is_no_error(tmp_path: Path) -> None:
    put(tmp_path, {ADMIN_DROPIN: "a file"})
    assert load(tmp_path) == Config()


# --- the declaration that messages and documentation follow from -------------------------------------------


def test_what_is_expected_is_said_in_words() -> None:
    assert expected("events.max_delay") == "a number from 0.05 to 3600"
    assert expected("verify.image") == '"always" or "in-doubt" or "never"'
    assert expected("reload.kexec.initrd") == "a text in quotation marks"


def test_a_fifo_in_a_files_place_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / ADMIN_FILE)
    assert load(tmp_path) == Config()  # it is empty


@pytest.mark.parametrize("line", ['kexec.kernel = "/k\\u0000"', 'command = ["/x\\u0000"]', 'append = "\\u0000"'])
def test_what_no_program_could_be_given_is_refused(tmp_path: Path, line: str) -> None:
    assert "expected a " in refused(tmp_path, f"[reload]\n{line}\n")
