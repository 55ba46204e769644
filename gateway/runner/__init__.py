"""One call from its admission to its bill."""
