"""What all tiers share."""

pytest_plugins = ["testbed.pytest_plugin"]
