"""The parts of a controller process: controllers, manager, leader election, probes, metrics, events.

Knows no MCS and no Karmada: with `workqueue` and `informers` it is a library for controllers of any kind.
docs/writing-a-controller.md shows how to use it.

    program                             the usual parts, put together: begin here
    manager, cache_sync, signals       the life of a process: order of start and stop, caches, probes
    controller, reconcile, predicates   watches, queue and workers; what they run and how it may end; what to watch for
    owners, conditions                  what most controllers write on objects: plans, to be applied by a patch; what
                                        there is about finalizers is from `informers.patches`
    leader_election                     of several processes one works
    http, metrics, logging, events      what people see of it
    feature_gates                       switches

Nothing here is thread-safe: an object belongs to one event loop. Times are seconds as floats, by the `Clock` that is
given. No module keeps state, so two managers can live in one process; only :func:`logging.setup_logging` and
:func:`signals.stop_on_signals` are about the process as a whole.
"""

from informers.meta import find_condition
from informers.patches import plan_add_finalizer, plan_remove_finalizer
from mcs_controller.runtime.conditions import is_condition_true, plan_conditions, set_condition
from mcs_controller.runtime.controller import Controller, Mapper, Predicate, enqueue_object
from mcs_controller.runtime.events import EventBroadcaster, ObjectReference, Recorder
from mcs_controller.runtime.leader_election import LeaderElectionConfig, LeaderElector, LeadershipLost
from mcs_controller.runtime.manager import Manager
from mcs_controller.runtime.metrics import RuntimeMetrics
from mcs_controller.runtime.owners import (
    AlreadyOwned,
    controller_of,
    controller_reference,
    enqueue_owner,
    is_controlled_by,
    owner_reference,
    plan_controller_reference,
)
from mcs_controller.runtime.predicates import generation_changed
from mcs_controller.runtime.program import Program, connect
from mcs_controller.runtime.reconcile import ReconcileError, Reconciler, Request, Result, TerminalError

__all__ = [
    "AlreadyOwned",
    "Controller",
    "EventBroadcaster",
    "LeaderElectionConfig",
    "LeaderElector",
    "LeadershipLost",
    "Manager",
    "Mapper",
    "ObjectReference",
    "Predicate",
    "Program",
    "ReconcileError",
    "Reconciler",
    "Recorder",
    "Request",
    "Result",
    "RuntimeMetrics",
    "TerminalError",
    "connect",
    "controller_of",
    "controller_reference",
    "enqueue_object",
    "enqueue_owner",
    "find_condition",
    "generation_changed",
    "is_condition_true",
    "is_controlled_by",
    "owner_reference",
    "plan_add_finalizer",
    "plan_conditions",
    "plan_controller_reference",
    "plan_remove_finalizer",
    "set_condition",
]
