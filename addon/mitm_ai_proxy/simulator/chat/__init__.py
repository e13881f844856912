"""A small chat model that answers in OpenAI's and in Anthropic's wire formats; independent of the room chat/."""
