# SPDX-License-Identifier: GPL-2.0-or-later
"""Recording what a distribution's loader runs, and running it: checks before, budget after."""
