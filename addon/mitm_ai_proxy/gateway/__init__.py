"""The edge to mitmproxy: the only room that knows it."""
