"""A whole cluster in one thread: the real core and the real worker's machine under a virtual
clock, network and disk that fail on purpose. The same seed takes the same steps.
"""
