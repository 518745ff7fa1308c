"""Measures other systems by the same work, in turn with Pullwork."""
