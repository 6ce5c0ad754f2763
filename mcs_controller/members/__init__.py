"""Member clusters: connections, credentials, and informers of what is in them."""
