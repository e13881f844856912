"""Credentials: from what the configuration holds to header fields and query parameters."""
