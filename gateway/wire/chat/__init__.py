"""OpenAI's Chat Completions, the hub format: requests, messages, streams in and out."""
