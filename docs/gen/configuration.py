"""Prints docs/configuration.md, made from the settings models of all installed sections.

`make docs` runs it; a test compares what it prints with what is committed.
"""

from __future__ import annotations

from pullwork.settings import Known, Section
from pullwork.settings.template import default_text, is_computed

HEAD = """\
# Configuration

<!-- Made by `make docs` from the settings models. Change those, not this page. -->

Masters, workers and clients read one set of settings, each its own section. There is one file
for all roles, and the same image runs in every role with another environment.

A value is looked for in this order; the first found counts:

1. a **flag** of the command, e.g. `--listen`;
2. a **variable** of the environment, `PULLWORK_<SECTION>_<KEY>`; an empty one counts as not set.
   `PULLWORK_ADDRESS`, the master's address, is one variable for workers and clients alike;
3. the **file**, TOML: `--config FILE`, else `PULLWORK_CONFIG`, else `./pullwork.toml` if there;
4. the **default**.

```sh
pullwork config > pullwork.toml          # the template: every key with its default and meaning
pullwork config --check pullwork.toml    # finds what is unknown or unusable in a file
pullwork config --show                   # what is in force here, and where each value comes from
```

A name that does not exist, in the file or as a `PULLWORK_` variable, is an error that names it and
the one that was probably meant; so is a value that can't be used. Nothing starts with a
misspelt setting. Variables that Kubernetes or linked containers make for a service called
`pullwork` (`PULLWORK_SERVICE_HOST`, `PULLWORK_PORT_7733_TCP`, …) are passed over.

**Durations** are seconds, or numbers with `ms`, `s`, `m`, `h`, `d`: `30`, `"500ms"`, `"1h30m"`.
**Sizes** are bytes, or a number with `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`: `"64MiB"`.
**Lists** in a variable are separated by commas; **tables** are written `name=value,name=value`.
Where `none` is allowed it takes back what the file sets; in the file, leave the key out.
"""


def rows(section: type[Section]) -> str:
    """Returns the table of a section."""
    lines = ["| key | variable | default | allowed | meaning |\n|---|---|---|---|---|\n"]
    for setting in section.settings():
        default = default_text(setting)
        cells = (
            f"`{setting.name}`",
            f"`{setting.variable}`",
            default if is_computed(setting) else f"`{default}`",
            setting.allowed_briefly,
            setting.meaning,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(lines)


def page() -> str:
    """Returns the whole page."""
    parts = [HEAD]
    for section in Known().sections():
        meaning = " ".join((section.__doc__ or "").split())
        parts.append(f"\n## `[{section.section}]`\n\n{meaning}\n\n{rows(section)}")
    return "".join(parts)


if __name__ == "__main__":
    print(page(), end="")
