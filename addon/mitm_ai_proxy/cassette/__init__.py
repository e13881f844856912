"""Cassettes: exchanges with a provider, recorded into a file without secrets, and replayed from it."""
