"""Recorded exchanges with a provider: kept in a file without secrets, and answered from."""
