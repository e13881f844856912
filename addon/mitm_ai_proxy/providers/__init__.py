"""Providers: their base class, and those that speak OpenAI's API."""
