# SPDX-License-Identifier: GPL-2.0-or-later
"""The unprivileged daemon: receive uevents, coalesce them into bursts, ask the helper, report what it answered."""
