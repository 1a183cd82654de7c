# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

from hypothesis import configuration, settings

configuration.set_hypothesis_home_dir(Path(__file__).parents[3] / "build/hypothesis")
# Time is never asserted, not by a deadline either; and a checkout need not be ours to write.
settings.register_profile("kdumphpd", deadline=None, database=None)
settings.load_profile("kdumphpd")
