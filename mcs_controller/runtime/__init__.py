"""What a controller process is made of: controllers, manager, leader election, probes, metrics, events.

Knows no MCS and no Karmada: with `workqueue` and `informers` it is a library for controllers of any kind.
docs/writing-a-controller.md shows how to use it.

    program                             the usual parts, put together
    manager, first_lists, signals       the life of a process: order of start and stop, caches, probes
    controller, reconcile               watches, queue and workers; what they run and how it may end
    leader_election                     of several processes one works
    http, metrics, logging, events      what people see of it
    feature_gates                       switches

Nothing here is thread-safe: an object belongs to one event loop. Times are seconds as floats, by the `Clock` that is
given. No module keeps state, so two managers can live in one process; only :func:`logging.setup_logging` and
:func:`signals.stop_on_signals` are about the process as a whole.
"""
