"""The conformance kit: plays the master against a worker program and says which rules it breaks.

`stand_in` is the master that misbehaves as a scene tells it to; `watch` keeps the rules that
hold in every scene; `scenes` bring about what the other rules are for; `run` plays them. It speaks
the real contract over real connections, and imports no service.
"""
