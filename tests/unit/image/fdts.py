# SPDX-License-Identifier: GPL-2.0-or-later
"""Flattened device trees as loaders make them."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kdumphpd.image import fdt


@dataclass
class Node:
    """A device tree node to be flattened."""

    name: str
    properties: dict[str, bytes] = field(default_factory=dict)
    children: list["Node"] = field(default_factory=list)


def flatten(root: Node, slack: int = 0, version: int = 17, reserved: Sequence[tuple[int, int]] = ()) -> bytes:
    """A flattened device tree with slack unused bytes at its end; reserved as (address, size)."""
    strings = bytearray()
    offsets: dict[str, int] = {}

    def emit(node: Node) -> bytes:
        out = struct.pack(">I", fdt.BEGIN_NODE) + padded(node.name.encode() + b"\0")
        for key, value in node.properties.items():
            if key not in offsets:
                offsets[key] = len(strings)
                strings.extend(key.encode() + b"\0")
            out += struct.pack(">III", fdt.PROP, len(value), offsets[key]) + padded(value)
        return out + struct.pack(">I", fdt.NOP) + b"".join(map(emit, node.children)) + struct.pack(">I", fdt.END_NODE)

    block = emit(root) + struct.pack(">I", fdt.END)
    reservations = b"".join(struct.pack(">QQ", *entry) for entry in (*reserved, (0, 0)))
    at = 40 + len(reservations)
    total = at + len(block) + len(strings) + slack
    head = struct.pack(">4s9I", fdt.MAGIC, total, at, at + len(block), 40, version, 16, 0, len(strings), len(block))
    return head + reservations + block + bytes(strings) + bytes(slack)


def padded(data: bytes) -> bytes:
    """Data filled up to a whole number of 32-bit words."""
    return data + bytes(-len(data) % 4)


def cpu_node(core: int, threads: int = 1, extra: int = 0) -> Node:
    """A PowerPC core's node with extra bytes of other properties."""
    ids = [core * threads + t for t in range(threads)]
    return Node(
        f"PowerPC,POWER9@{core * threads:x}",
        {
            "device_type": b"cpu\0",
            "reg": struct.pack(">I", ids[0]),
            "ibm,ppc-interrupt-server#s": struct.pack(f">{threads}I", *ids),
            "ibm,pa-features": bytes(extra),
        },
    )


def device_tree(cores: Iterable[Node]) -> Node:
    """A tree as a PowerPC machine has it, with a cache among the CPUs."""
    cache = Node("l2-cache@2000", {"device_type": b"cache\0", "reg": struct.pack(">I", 0x2000)})
    chosen = Node("chosen", {"linux,memory-limit": bytes(8)})
    decoy = Node("other", {}, [Node("cpus", {}, [cpu_node(99)])])
    return Node("", {"compatible": b"IBM,pSeries\0"}, [chosen, Node("cpus", {}, [*cores, cache]), decoy])


def tree_of(*cores: int) -> bytes:
    """A flattened tree of these cores of one thread each, with as much slack as kexec leaves."""
    return flatten(device_tree([cpu_node(n) for n in cores]), slack=8450)
