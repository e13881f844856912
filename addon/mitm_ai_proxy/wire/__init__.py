"""Syntax of HTTP messages: header fields, targets, content encodings, JSON, forms."""
