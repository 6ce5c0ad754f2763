"""Pinned Kubernetes components for the test bed: existing ones are used, others are built once from their Go modules.

No package registry carries these binaries, so each component has a small Go module of its own under ``tools/modules``
that pins it as a ``tool`` dependency (``go.sum`` committed; ``kubelet-streaming`` is a program of this project), and
:mod:`tools.components` turns a name into a path: ``KUBEBUILDER_ASSETS`` first, then the cache, then one build.
``python -m tools`` does the same from a shell.

Not part of the product: nothing that is shipped imports this package.
"""
