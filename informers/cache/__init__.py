"""The cache of a collection: store, indexes, shared informer and its handlers."""
