"""Measures Pullwork as it is run: master, workers and client in processes of their own."""
