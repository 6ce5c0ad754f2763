"""Spans of changes, for OpenTelemetry.

    endpointslice change             from the reconcile that first carries it to that one's end
      ├─ write collected Work
      ├─ write dispatched Work       one for each consumer
      └─ write EndpointSlice         in each consumer, if this process writes there

Each write's context is sent to its API server (W3C `traceparent`), whose own spans join the trace if it has tracing on.
A reconcile that writes nothing has no span, and neither has what is not about a slice.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mcs_controller.domain.naming import cluster_of_namespace, execution_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import Span, Tracer

    from informers.client.client import WriteTracing
    from mcs_controller.tracing.changes import Change

K = TypeVar("K")
V = TypeVar("V")

_FIRST: Final = "endpointslice change"

_REMEMBERED: Final = 4096
"""Changes whose first span was made here, and Works that were written for one."""

_FOLLOWS_SECONDS: Final = 600.0
"""After which the execution of a Work writes for other reasons than the change that it was last written for."""

_MAX_TEXT: Final = 1024

_current: ContextVar[_Carrying | None] = ContextVar("change", default=None)


class ChangeIds(RandomIdGenerator):
    """Random ids, but for the span that a change begins with."""

    def __init__(self) -> None:
        self.given: tuple[int, int] | None = None

    def generate_trace_id(self) -> int:
        """See `IdGenerator`."""
        return self.given[0] if self.given is not None else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """See `IdGenerator`."""
        return self.given[1] if self.given is not None else super().generate_span_id()


def new_provider(name: str, version: str, identity: str, **options: object) -> TracerProvider:
    """What the environment variables OTEL_* ask for; they win over the name, version and identity of this process."""
    known = {"service.name": name, "service.version": version, "service.instance.id": identity}
    asked = OTELResourceDetector().detect().attributes
    resource = Resource.create({key: value for key, value in known.items() if value and key not in asked})
    return TracerProvider(resource=resource, id_generator=ChangeIds(), shutdown_on_exit=False, **options)  # type: ignore[arg-type]


def exporting(provider: TracerProvider) -> TracerProvider:
    """Send its spans by OTLP over HTTP, from a thread of their own."""
    logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)  # that one is lost, and not each try before
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class ChangeTracer:
    """Makes the spans. Belongs to one event loop."""

    def __init__(self, provider: TracerProvider) -> None:
        """`provider` is one of `new_provider`."""
        self._tracer: Tracer = provider.get_tracer("mcs-controller")
        self._sampler: Sampler = provider.sampler
        assert isinstance(provider.id_generator, ChangeIds)
        self._ids = provider.id_generator
        self._begun: OrderedDict[int, None] = OrderedDict()
        self._works: OrderedDict[tuple[str, str], tuple[float, Context]] = OrderedDict()

    @contextmanager
    def carry(self, change: Change, *, observed: bool) -> Iterator[None]:
        """Around a reconcile that carries a change; `observed` if it is this process that saw the slice."""
        carrying = _Carrying(change, time.time_ns(), observed=observed)
        token = _current.set(carrying)
        try:
            yield
        finally:
            _current.reset(token)
            if carrying.span is not None:
                carrying.span.end()

    @contextmanager
    def follow(self, namespace: str, name: str) -> Iterator[None]:
        """Around the execution of a Work: what it writes belongs to the change that the Work was written for here."""
        written, parent = self._works.get((namespace, name), (0.0, None))
        follows = parent is not None and time.monotonic() - written < _FOLLOWS_SECONDS
        token = _current.set(_Carrying(None, 0, observed=False, parent=parent) if follows else None)
        try:
            yield
        finally:
            _current.reset(token)

    def requests(self, cluster: str = "") -> WriteTracing:
        """For an `ApiClient`: of the control plane, or of this member."""
        return partial(self._around, cluster)

    @contextmanager
    def _around(self, cluster: str, method: str, path: str, body: object) -> Iterator[Mapping[str, str]]:
        carrying, headers = _current.get(), dict[str, str]()
        written = _written(path)
        name = _name_of(carrying, cluster, written)
        if carrying is None or written is None or not name:
            yield headers
            return
        _, namespace, object_name = written
        if not object_name and isinstance(body, Mapping):
            object_name = body["metadata"]["name"]
        attributes = {
            "http.request.method": method,
            "url.path": path[:_MAX_TEXT],
            "k8s.namespace.name": namespace,
            "mcs.cluster": cluster or cluster_of_namespace(namespace) or "",
        }
        parent = self._parent(carrying)
        span = self._tracer.start_span(name, parent, kind=SpanKind.CLIENT, attributes=attributes)
        TraceContextTextMapPropagator().inject(headers, set_span_in_context(span, Context()))
        if not cluster:
            _remember(self._works, (namespace, object_name), (time.monotonic(), parent))
        try:
            yield headers
        except BaseException as error:
            span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}"[:_MAX_TEXT])
            raise
        finally:
            span.end()

    def _parent(self, carrying: _Carrying) -> Context:
        """The context of the change: its first span is made with the first write for it."""
        if carrying.parent is None:
            assert carrying.change is not None
            trace_id, span_id = carrying.change.ids()
            origin = carrying.change.origin
            attributes = {
                "mcs.provider": origin.cluster,
                "k8s.namespace.name": origin.namespace,
                "mcs.endpointslice": origin.name,
                "mcs.version": carrying.change.version,
            }
            began = carrying.began
            if carrying.observed and trace_id not in self._begun:
                _remember(self._begun, trace_id, None)
                self._ids.given = (trace_id, span_id)
                try:
                    span = self._tracer.start_span(_FIRST, Context(), start_time=began, attributes=attributes)
                finally:
                    self._ids.given = None
            else:
                # Whether the span that it hangs on is sampled is for every process to say alike: by the trace.
                decision = self._sampler.should_sample(Context(), trace_id, _FIRST).decision
                sampled = decision is Decision.RECORD_AND_SAMPLE
                flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
                first = NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags))
                span = self._tracer.start_span(
                    "reconcile", set_span_in_context(first, Context()), start_time=began, attributes=attributes
                )
            carrying.span, carrying.parent = span, set_span_in_context(span, Context())
        return carrying.parent


class _Carrying:
    """A reconcile that carries a change.

    Attributes:
        span: that of the reconcile, once it has written something.
        parent: what the spans of its writes hang on.
    """

    def __init__(self, change: Change | None, began: int, *, observed: bool, parent: Context | None = None) -> None:
        self.change = change
        self.began = began
        self.observed = observed
        self.span: Span | None = None
        self.parent = parent


def _written(path: str) -> tuple[str, str, str] | None:
    """Plural, namespace and name (empty for a new one) of the object at a path; None for anything else."""
    _, found, below = path.partition("/namespaces/")
    namespace, plural, name, more = [*below.split("/"), "", "", ""][:4]
    return (plural, namespace, name) if found and plural and not more else None


def _name_of(carrying: _Carrying | None, cluster: str, written: tuple[str, str, str] | None) -> str:
    """What a span is called; empty for what has none: only what makes a change arrive has one."""
    if carrying is None or written is None:
        return ""
    plural, namespace, _ = written
    if cluster:
        return "write EndpointSlice" if plural == "endpointslices" else ""
    if plural != "works" or carrying.change is None:
        return ""
    collected = namespace == execution_namespace(carrying.change.origin.cluster)
    return "write collected Work" if collected else "write dispatched Work"


def _remember(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _REMEMBERED:
        kept.popitem(last=False)
