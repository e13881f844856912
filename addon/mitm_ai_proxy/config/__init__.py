"""The configuration: from a text of YAML to one checked value. Knows no provider and no other room."""
