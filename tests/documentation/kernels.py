# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of docs/kernels.md that is made of fixtures: `python -m tests.documentation.kernels` writes it there."""

import json
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs/kernels.md"
RECORDED = CHECKOUT / "tests/fixtures/image/recorded"

BEGIN, END = "<!-- recorded: begin -->", "<!-- recorded: end -->"
HEAD = (
    "| kernel | architecture | `kexec -p` | crash_hotplug: cpu, memory | CPU and memory added | memory removed |",
    "|---|---|---|---|---|---|",
)
FAULTS = {
    "missing": "memory missing",
    "gone": "memory that has gone",
    "cpus_without_note": "CPU without a note",
    "cpus_not_in_fdt": "CPU not in the FDT",
}


def block() -> str:
    """Return the table, a row for each kernel and way to load."""
    return "\n".join((BEGIN, *HEAD, *rows(), END))


def rows() -> list[str]:
    found = []
    for folder in sorted(RECORDED.iterdir(), key=_order):
        kernel = json.loads((folder / "kernel.json").read_text())
        for load in sorted(path for path in folder.iterdir() if (folder / f"{path.name}-plugged").is_dir()):
            plugged, unplugged = (_seen(folder / f"{load.name}-{step}") for step in ("plugged", "unplugged"))
            seen = _seen(load)
            cells = (
                kernel["release"],
                kernel["machine"],
                f"`{' '.join(seen['options'])}`",
                ", ".join(seen["crash_hotplug"]),
                _holds(plugged) + ("" if plugged["cpu"] is not None else " (memory alone)"),
                _holds(unplugged),
            )
            found.append(f"| {' | '.join(cells)} |")
    return found


def _order(folder: Path) -> tuple[bool, str, list[int]]:
    kernel = json.loads((folder / "kernel.json").read_text())
    return kernel["machine"] != "x86_64", kernel["machine"], [int(n) for n in kernel["release"].split(".")[:2]]


def _seen(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "seen.json").read_text()))


def _holds(seen: dict[str, Any]) -> str:
    verdict = seen["verdict"]
    faults = ", ".join(text for name, text in FAULTS.items() if verdict[name])
    return f"{verdict['state']}: {faults}" if faults else str(verdict["state"])


def main() -> None:
    text = PAGE.read_text()
    before, rest = text.split(BEGIN, 1)
    PAGE.write_text(before + block() + rest.split(END, 1)[1])


if __name__ == "__main__":
    main()
