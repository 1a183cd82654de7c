# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine, its kernel, its operator and our listener in miniature, on a clock that only the model moves."""
