"""Which of the configured providers serves a request."""
