"""Takes the fixture `pullwork_cluster`."""

pytest_plugins = ["pullwork.testing.fixtures"]
