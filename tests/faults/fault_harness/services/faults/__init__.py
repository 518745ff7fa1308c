"""The faults of services, by what is hurt."""
