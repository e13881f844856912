"""Credentials: from what the configuration holds to the value of an Authorization header."""
