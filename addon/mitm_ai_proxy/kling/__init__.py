"""The Kling provider: Kling's own API, and OpenAI's Videos API translated to it."""
