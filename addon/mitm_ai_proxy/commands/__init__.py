"""The command line: `ai-proxy`."""
