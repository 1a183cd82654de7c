# SPDX-License-Identifier: GPL-2.0-or-later
import pytest

from kdumphpd.image.errors import ParseError
from kdumphpd.image.fdt import parse_fdt
from tests.unit.image import fdts


def test_fdt_lists_the_threads_of_cpus_and_of_nothing_else() -> None:
    tree = parse_fdt(fdts.flatten(fdts.device_tree([fdts.cpu_node(0, 4), fdts.cpu_node(1, 4)])))
    assert [cpu.name for cpu in tree.cpus] == ["PowerPC,POWER9@0", "PowerPC,POWER9@4"]
    assert tree.hw_ids == set(range(8))


def test_fdt_tells_how_many_more_cpus_fit() -> None:
    """As measured on ppc64le 6.12: 8450 bytes of slack, and 7738 after one more CPU of 712 bytes."""
    small, large = fdts.cpu_node(0, extra=500), fdts.cpu_node(1, extra=600)
    tree = parse_fdt(fdts.flatten(fdts.device_tree([small, large]), slack=8450))
    assert tree.slack == 8450
    size = max(cpu.size for cpu in tree.cpus)
    assert tree.cpus[0].size + 100 == tree.cpus[1].size == size
    assert tree.room == 8450 // size
    third = fdts.cpu_node(2, extra=600)
    grown = parse_fdt(fdts.flatten(fdts.device_tree([small, large, third])))
    assert grown.totalsize == tree.totalsize - tree.slack + size


def test_fdt_without_cpus_has_no_measure_of_room() -> None:
    """What is left when update_cpus_node() fails half-way."""
    tree = parse_fdt(fdts.flatten(fdts.device_tree([]), slack=100))
    assert (tree.cpus, tree.room) == ((), None)


def test_fdt_of_the_version_before_the_newest_is_read_and_an_older_one_refused() -> None:
    tree = fdts.device_tree([fdts.cpu_node(0)])
    assert parse_fdt(fdts.flatten(tree, version=16)).hw_ids == {0}
    with pytest.raises(ParseError, match="format 3"):
        parse_fdt(fdts.flatten(tree, version=3))


def test_fdt_of_endless_depth_is_refused() -> None:
    node = fdts.Node("n")
    for _ in range(200):
        node = fdts.Node("n", {}, [node])
    with pytest.raises(ParseError, match="too many"):
        parse_fdt(fdts.flatten(node))
