"""`python -m pullwork_worker`: the same as `pullwork worker`."""

import typer

from pullwork_worker.main import command

if __name__ == "__main__":
    typer.run(command)
