"""The pytest plugin, and the proxy that it gives to tests."""
