"""The worker: pulls tasks from a master and runs them."""
