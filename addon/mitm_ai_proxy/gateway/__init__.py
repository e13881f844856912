"""The mitmproxy addons: gateway, guard and stages, the edge between mitmproxy and the rest."""
