"""Benchmarks of the whole product: its binary as a process of its own, on real etcd and real kube-apiservers.

What runs is what a user runs: stand-alone mode, its flags, the rights of the manifests. Whatever is played instead is
said in the scenario's conditions. Who measures is a process of its own, too, and decodes as little as it can.
"""
