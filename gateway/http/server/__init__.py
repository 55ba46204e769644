"""The frame of the HTTP side: connections, requests, routes, the serving process."""
