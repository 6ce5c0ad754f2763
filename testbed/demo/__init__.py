"""The demo: the official walkthrough on real API servers, told step by step."""
