"""The gRPC face: converts, asks, converts. It decides nothing."""
