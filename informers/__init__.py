"""Caches fed by list and watch: client, reflector, store, shared informer. Knows no controller.

    config, connection, transport, client     requests to one API server
    wire, nesting, watcher, reflector,
    backoff                                   following a collection
    cache, store, event, informer,
    registration, factory                     what is known, and who is told
    resource, meta, errors, metrics           the vocabulary

Begin reading at :class:`~informers.informer.SharedInformer`.
"""

from informers.backoff import Outage
from informers.cached import CachedResource
from informers.client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, ApiClient
from informers.config import (
    MAX_TOKEN_AGE_SECONDS,
    CachedToken,
    ClientConfig,
    StaticToken,
    TokenSource,
    load_incluster,
    load_kubeconfig,
)
from informers.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    ConfigError,
    Conflict,
    DecodeError,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    NotFound,
    ServerError,
    TooLarge,
    TooManyRequests,
    TransportError,
    Unauthorized,
    WentBack,
)
from informers.event import AsyncHandler, Event, Handler
from informers.factory import InformerFactory
from informers.informer import SharedInformer
from informers.meta import Condition, KubeObject, ObjectKey, ObjectMeta, OwnerReference, key_of
from informers.metrics import NO_INFORMER_METRICS, InformerMetrics
from informers.reflector import ListWatch
from informers.registration import Registration
from informers.resource import PartialObject, Resource, struct_decoder
from informers.store import Indexers, Store, StoreWriter
from informers.transport import NO_CLIENT_METRICS, ClientMetrics, RawResponse
from informers.wire import ListPage, Rejected

__all__ = [
    "APPLY_PATCH",
    "JSON_PATCH",
    "MAX_TOKEN_AGE_SECONDS",
    "MERGE_PATCH",
    "NO_CLIENT_METRICS",
    "NO_INFORMER_METRICS",
    "AlreadyExists",
    "ApiClient",
    "ApiError",
    "AsyncHandler",
    "BadRequest",
    "CachedResource",
    "CachedToken",
    "ClientConfig",
    "ClientMetrics",
    "Condition",
    "ConfigError",
    "Conflict",
    "DecodeError",
    "Event",
    "Forbidden",
    "Gone",
    "Handler",
    "Indexers",
    "InformerFactory",
    "InformerMetrics",
    "Invalid",
    "KubeError",
    "KubeObject",
    "ListPage",
    "ListWatch",
    "NotFound",
    "ObjectKey",
    "ObjectMeta",
    "Outage",
    "OwnerReference",
    "PartialObject",
    "RawResponse",
    "Registration",
    "Rejected",
    "Resource",
    "ServerError",
    "SharedInformer",
    "StaticToken",
    "Store",
    "StoreWriter",
    "TokenSource",
    "TooLarge",
    "TooManyRequests",
    "TransportError",
    "Unauthorized",
    "WentBack",
    "key_of",
    "load_incluster",
    "load_kubeconfig",
    "struct_decoder",
]
