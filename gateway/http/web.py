"""What is used of aiohttp's server. `aiohttp.web` would bring its applications, routes, files and WebSockets as well: a
twentieth of a start's imports, and 2 MB.
"""

from __future__ import annotations

from aiohttp.web_protocol import RequestHandler, RequestPayloadError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server

__all__ = ["BaseRequest", "RequestHandler", "RequestPayloadError", "Response", "Server", "StreamResponse"]
