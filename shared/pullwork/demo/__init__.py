"""The demo: words of Python files, counted by a cluster that loses a worker and gains two.

It starts everything it needs as real processes, checks its totals against a plain count,
and stops all it started.
"""
