"""Hurts a cluster that keeps services running, and judges what becomes of their instances.

A real master and three real nodes, containers of a real engine or processes of this machine. What
runs is never taken from the master's word: the engine, or the kernel, is asked for its own list.
"""
