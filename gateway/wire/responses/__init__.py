"""OpenAI's Responses API: requests, items, objects and events."""
