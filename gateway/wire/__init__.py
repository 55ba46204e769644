"""Pure data formats of the two OpenAI dialects: bytes and dicts in, bytes and dicts out.

Nothing here opens a socket, waits, reads a clock or knows the configuration; modules of this package import only
`gateway.errors` and each other. So every format is tested with bytes alone, split at every position.
"""
