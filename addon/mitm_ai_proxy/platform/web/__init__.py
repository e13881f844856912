"""The platform over HTTP: its API, OpenAI's Videos API, the page, callbacks, probes and metrics."""
