"""`python -m pullwork_master`: the same as `pullwork master`."""

import typer

from pullwork_master.main import command

if __name__ == "__main__":
    typer.run(command)
