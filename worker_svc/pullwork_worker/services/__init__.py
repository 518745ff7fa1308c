"""What a node does: it keeps instances of services, as processes or containers.

Nothing of this is loaded in a worker that offers none.
"""
