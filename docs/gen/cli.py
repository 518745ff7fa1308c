"""Prints docs/cli.md, made from the commands and exit codes of `pullwork.cli`.

`make docs` runs it; a test compares what it prints with what is committed.
"""

from __future__ import annotations

from typer.main import get_command

from pullwork.cli.exits import ExitCode
from pullwork.cli.main import make_app

HEAD = """\
# The command line

<!-- Made by `make docs` from shared/pullwork/cli. Change that code, not this page. -->

`pullwork --help` lists the commands, `pullwork COMMAND --help` tells the options of one, and
`pullwork --install-completion` teaches your shell to complete them, also the names of queues,
types and services.

Tables are for people: they fit the terminal, and ids are never cut. Programs take `--json`: one
document on stdout, or a document a line where a command follows what happens (`watch`, `wait`,
`services watch`, `services logs`).
What is said about the work, and every error, goes to stderr in one line. The master is found by
`--address`, else as the [configuration](configuration.md) says.

```sh
pullwork master                                      # keeps the tasks; 127.0.0.1:7733
pullwork worker --tasks my.tasks                     # pulls them and runs them

pullwork run text.count_words path=a.txt             # submits, waits, prints the result
id=$(pullwork submit text.count_words path=a.txt)    # submits, prints the id
pullwork submit report.make @job.json --delay 5m     # arguments from a file; `-` is stdin
pullwork wait "$id" && pullwork get "$id"

pullwork list --state failed                         # what went wrong
pullwork explain "$id"                               # why does this task not run?
pullwork retry --queue reports --yes                 # give failed tasks another chance
pullwork queues pause reports
pullwork drain worker-7                              # let a worker finish and leave

pullwork services create web --image nginx:1.27 -n 3 --port 80 --health http:/
pullwork services scale web 9                        # waits until all are healthy
pullwork services logs web -f
pullwork apply -f services.yaml                      # shows what would change, asks, does it
```

Arguments are a JSON object of parameter names, or `NAME=VALUE` one by one: a value that is JSON
is taken as such (`n=3`, `flag=true`, `list='[1, 2]'`), everything else is text (`path=a.txt`);
to send the text `3` write `n='"3"'`. With `--content-type` the bytes of `@FILE` or `-` travel as
they are.

Commands that change a service wait until it is as it is wanted and show how far it is, unless
`--no-wait`: 0 says that all instances are healthy, 1 that the change failed, 7 that `--timeout`
passed; on Ctrl-C the service goes on. [Services](services.md) tells of them.

Commands that change tasks by a filter, delete a service or apply a file ask first; `--yes` answers
for you, and must be given where nobody is at a terminal.
"""

COMMANDS = """
## Commands

| command | what it does |
|---|---|
"""

CODES = """
## Exit codes

| code | meaning |
|---|---|
"""

TAIL = """
No command shows a traceback. To see where an unexpected error came from, run the same command with
`PULLWORK_TRACEBACK=1` in front.
"""


def page() -> str:
    """Returns the whole page."""
    root = get_command(make_app())
    commands = "".join(
        f"| `pullwork {name}` | {(command.help or '').splitlines()[0]} |\n"
        for name, command in root.commands.items()  # type: ignore[attr-defined]
    )
    codes = "".join(f"| {code.value} | {code.meaning} |\n" for code in ExitCode)
    return HEAD + COMMANDS + commands + CODES + codes + TAIL


if __name__ == "__main__":
    print(page(), end="")
