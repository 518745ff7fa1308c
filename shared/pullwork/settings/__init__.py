"""The settings: sections as models, read from flags, environment, a TOML file and defaults.

A service defines a subclass of `Section`, declares it under the entry-point group
`pullwork.settings`, and calls `load` once, in its `main`.
"""

from pullwork.settings.load import Resolved, check_file, load, load_given, resolve
from pullwork.settings.names import Known
from pullwork.settings.quantity import (
    Allowed,
    Duration,
    Size,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from pullwork.settings.section import (
    ClientSettings,
    DefaultText,
    Env,
    HostPort,
    MasterAddress,
    Section,
    Setting,
)

__all__ = [
    "Allowed",
    "ClientSettings",
    "DefaultText",
    "Duration",
    "Env",
    "HostPort",
    "Known",
    "MasterAddress",
    "Resolved",
    "Section",
    "Setting",
    "Size",
    "check_file",
    "format_duration",
    "format_size",
    "load",
    "load_given",
    "parse_duration",
    "parse_size",
    "resolve",
]
