"""The gateway on an HTTP server of its own: the only room that knows aiohttp. It does not know mitmproxy."""
