"""The dialects that clients speak: OpenAI's and Anthropic's."""
