"""Reads config.yaml into one checked, immutable value."""
