# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios on real kernels: Debian guests in QEMU, each restored in about a second from a cached boot."""
