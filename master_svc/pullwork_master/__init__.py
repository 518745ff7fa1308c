"""The master: keeps tasks and hands them to workers that ask."""
