"""Thin shells around the rules: observe in the caches, ask the domain for a plan, apply it."""
