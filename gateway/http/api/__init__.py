"""The routes that call no model."""
