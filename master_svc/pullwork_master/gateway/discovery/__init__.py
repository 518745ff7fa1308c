"""Discovery in the formats of others: Prometheus' HTTP service discovery, and Consul's HTTP API.

Both are views of one catalogue, which the orchestrator keeps; nothing is registered here, and
nothing can be written. Paths, parameters and documents are theirs, so no annotation of the
contract makes them.
"""
