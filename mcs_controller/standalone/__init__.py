"""What Karmada's own controllers would do, so that plain API servers are enough. `start` is the only door."""
