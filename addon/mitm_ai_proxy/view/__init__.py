"""What commands show to a person. Knows neither mitmproxy nor providers."""
