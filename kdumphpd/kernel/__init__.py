# SPDX-License-Identifier: GPL-2.0-or-later
"""The capability shim: what the kernel says of itself, probed, never guessed from a version."""
