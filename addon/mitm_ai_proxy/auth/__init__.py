"""Credentials: makes header fields and query parameters from keys and tokens, and redacts them."""
