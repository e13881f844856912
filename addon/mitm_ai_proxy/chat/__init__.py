"""The dialects that clients speak, OpenAI's and Anthropic's, and what stands between two of them: translate.py."""
