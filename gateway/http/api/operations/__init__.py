"""What the routes of the gateway take and answer, for `GET /openapi.json`."""
