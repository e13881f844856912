"""Bytes and their syntax: header fields, targets, JSON, forms. Nobody's meaning."""
