"""The controllers that stand in for Karmada's own, so that plain API servers are enough. `start` is the only entry."""
