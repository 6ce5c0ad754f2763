"""The rules, as pure functions from observed objects to a plan. No I/O, no clock, no awaiting."""
