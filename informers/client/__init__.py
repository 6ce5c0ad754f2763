"""Requests to one API server: configuration, connections, and the client."""
