# SPDX-License-Identifier: GPL-2.0-or-later
"""kdumphpd keeps kdump armed with an image that describes the machine as it is now."""

__version__ = "0.1.0"
