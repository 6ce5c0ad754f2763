"""Why a service of another cluster does not answer: rules from what was observed to findings, without I/O.

`world` is what was observed, `rules` look at it, `verdict` runs them and says which link of the chain is broken first.
:mod:`mcs_controller.mcsctl` observes real clusters, and prints what was found.
"""
