"""Speaking to MCP servers through the official SDK, which is imported only when the first server is spoken to.

`servers` is what the rest of the gateway uses. `session` and `transport` import the SDK and are themselves imported
late; everything else here is free of it, so that starting the gateway does not cost what the SDK costs.
"""
