"""What all tiers share."""

from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = ["testbed.pytest_plugin"]

# In CI the same examples every time: a pipeline must not turn red for a change that has nothing to do with it. New
# examples are found, and kept in .hypothesis, wherever people run the tests.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")
