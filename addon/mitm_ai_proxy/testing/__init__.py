"""The pytest plugin, and the proxy that tests get from it."""
