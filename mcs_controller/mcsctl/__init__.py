"""`mcsctl`: what a person asks a multi-cluster installation from a terminal. It reads, unless the verb says more."""
