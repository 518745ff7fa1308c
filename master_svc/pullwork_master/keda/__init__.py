"""Generated from proto/third_party/keda by `make proto`: KEDA's contract for external scalers."""
