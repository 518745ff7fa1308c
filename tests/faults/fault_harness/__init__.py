"""Hurts a real master and real workers, and says from outside what became of every task.

    python -m fault_harness             every fault, in a short form
    python -m fault_harness --full      with the numbers of docs/reliability.md
    python -m fault_harness --minutes 30   faults at random for so long

`bench` puts masters, workers, a load and its history together; `checker` judges the history;
each module of `faults` is one fault.
"""
