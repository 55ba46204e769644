"""Tools that the gateway runs for a model: web search, reading of pages, MCP servers, and what plugins register.

`net` and `websearch` do; `mcp/` speaks to MCP servers; `citations`, `offer` and `feedback` are pure; `loop` joins them
to the rounds of a call.
"""
