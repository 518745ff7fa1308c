"""The ways to run an attempt. Each child process imports this package: it stays light."""
