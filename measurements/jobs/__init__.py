"""Durable jobs: enqueued by the service, run by a worker."""
