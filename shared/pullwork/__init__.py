"""Pullwork: durable distributed work over gRPC."""
