"""The command line `pullwork`: what people type to run, look at and steer a cluster.

It imports no service; the services' own commands come in by the entry points of the
group `pullwork.commands`. Modules here import what is slow only when a command runs.
"""
