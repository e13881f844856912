"""The configuration: from a text of YAML to checked values. Knows no provider."""
