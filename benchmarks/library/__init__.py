"""What the libraries do, without the product: queues, decoders, informers, beside those of others."""
