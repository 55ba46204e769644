"""Between the Responses API and Chat Completions, both ways: requests, answers, streams."""
