# SPDX-License-Identifier: GPL-2.0-or-later
from kdumphpd.systemctl import parse
from kdumphpd.wishes import KDUMP_TOOLS, wanting, wishes

EARLY = "kdump-early.service"
KDUMP = "kdump.service"


def test_units_that_are_not_installed_are_not_there() -> None:
    text = "LoadState=loaded\nActiveState=active\n\nLoadState=not-found\nActiveState=inactive\n"
    assert parse(text, ["a.service", "b.service"]) == {"a.service": {"LoadState": "loaded", "ActiveState": "active"}}
    assert parse(text, ["a.service"]) is None
    assert parse("", ["a.service"]) is None


def test_a_unit_of_the_boot_counts_only_where_there_is_no_other() -> None:
    assert wishes({EARLY: 1, KDUMP: 2}) == {KDUMP: 2}
    assert wishes({EARLY: 1}) == {EARLY: 1}


def test_kdump_tools_that_is_switched_off_wishes_for_nothing() -> None:
    assert wishes({KDUMP_TOOLS: 1}, switched_off=True) == {}
    assert wishes({KDUMP_TOOLS: 1, KDUMP: 2}, switched_off=True) == {KDUMP: 2}
    assert wishes({KDUMP_TOOLS: 1}) == {KDUMP_TOOLS: 1}


def test_the_first_that_wants_an_image_or_is_at_work_is_the_word() -> None:
    assert wanting({"a": "inactive", "b": "failed", "c": "active"}) == ("b", "failed")
    assert wanting({"a": "activating", "b": "active"}) == ("a", "activating")
    assert wanting({"a": "inactive", "b": ""}) is None
