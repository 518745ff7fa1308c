"""Services over a few nodes in one thread: the real reconciler, and a world that performs its plans
late, in part, or not at all. The same seed takes the same steps.
"""
