"""What the two edges, gateway/ and server/, share around the core; it knows neither mitmproxy nor aiohttp."""
