"""A read-only page that shows what this process knows: `model` says what, `html` how it looks, `server` to whom."""
