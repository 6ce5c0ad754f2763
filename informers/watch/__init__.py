"""Following a collection by list and watch."""
