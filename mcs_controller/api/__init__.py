"""The kinds that the controllers read, typed as far as they read them.

Typed to read, owned fields to write: nothing here is ever encoded and sent back whole. What has to travel unchanged
(the manifests of Works, a Service's spec, a slice's endpoints) is kept as the JSON it came as.
"""
