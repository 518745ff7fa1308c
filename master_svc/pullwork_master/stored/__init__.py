"""Stubs of what stands on the disk in a format of its own; made from proto/pullwork/store/v1."""
