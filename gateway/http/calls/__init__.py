"""Model calls over HTTP."""
