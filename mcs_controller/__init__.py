"""mcs-controller: multi-cluster services for Karmada control planes."""

__version__ = "0.2.0"
