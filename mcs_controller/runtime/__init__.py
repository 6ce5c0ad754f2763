"""What a controller process is made of: controllers, manager, leader election, probes, metrics, events.

Knows no MCS and no Karmada: with `workqueue` and `informers` it is a library for controllers of any kind.
"""
