"""Caches fed by list and watch: client, reflector, store, shared informer. Knows no controller.

    config, connection, transport, client     requests to one API server
    wire, nesting, watcher, reflector,
    backoff                                   following a collection
    cache, store, event, informer,
    registration, factory, dynamic            what is known, and who is told
    resource, meta, errors, metrics           the vocabulary
    selectors, patches                        label selectors, merge patches
    discovery, rest_mapper                    which kinds a server has, and where

Begin reading at :class:`~informers.SharedInformer`.
"""

from informers.cache.cached_client import CachedClient
from informers.cache.event import AsyncHandler, Event, Handler
from informers.cache.factory import InformerFactory
from informers.cache.informer import SharedInformer
from informers.cache.registration import Registration
from informers.cache.store import Indexers, Store, StoreWriter
from informers.client.client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, ApiClient, Write
from informers.client.config import (
    MAX_TOKEN_AGE_SECONDS,
    CachedToken,
    ClientConfig,
    StaticToken,
    TokenSource,
    load_incluster,
    load_kubeconfig,
)
from informers.client.transport import NO_CLIENT_METRICS, ClientMetrics, RawResponse
from informers.client.wire import ListPage, Rejected
from informers.dynamic import DynamicInformers
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
    ServerRolledBack,
    TooLarge,
    TooManyRequests,
    TransportError,
    Unauthorized,
)
from informers.meta import Condition, KubeObject, ObjectKey, ObjectMeta, OwnerReference, key_of
from informers.metrics import NO_INFORMER_METRICS, InformerMetrics
from informers.resource import GroupVersionKind, PartialObject, Resource, struct_decoder
from informers.rest_mapper import RESTMapper
from informers.watch.backoff import ServerHealth
from informers.watch.reflector import ListWatch

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
    "CachedClient",
    "CachedToken",
    "ClientConfig",
    "ClientMetrics",
    "Condition",
    "ConfigError",
    "Conflict",
    "DecodeError",
    "DynamicInformers",
    "Event",
    "Forbidden",
    "Gone",
    "GroupVersionKind",
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
    "OwnerReference",
    "PartialObject",
    "RESTMapper",
    "RawResponse",
    "Registration",
    "Rejected",
    "Resource",
    "ServerError",
    "ServerHealth",
    "ServerRolledBack",
    "SharedInformer",
    "StaticToken",
    "Store",
    "StoreWriter",
    "TokenSource",
    "TooLarge",
    "TooManyRequests",
    "TransportError",
    "Unauthorized",
    "Write",
    "key_of",
    "load_incluster",
    "load_kubeconfig",
    "struct_decoder",
]
