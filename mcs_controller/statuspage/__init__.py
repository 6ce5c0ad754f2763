"""A read-only status page of this process: `model` computes its content, `html` renders it, `server` serves it."""
