"""OpenAI's Videos API in front of Kling's: requests, answers, ids, pages."""
