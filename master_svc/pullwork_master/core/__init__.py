"""The pure core: decides what becomes of tasks, knows no clock, socket, disk or thread.

Commands and the time go in, effects come out (`machine.Core.step`). The engine
commits the effects before anybody hears of them.
"""
