"""The pictures of docs/images: a gateway with the data of `gateway demo-data` in a browser. See scripts/screenshots."""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "images"
PAGES = {
    "landing": "/",
    "keys": "/settings/api-keys",
    "usage": "/usage",
    "chat": "/chat",
    "admin": "/admin/accounts",
}
WIDTH, HEIGHT = 1200, 750
QUESTION = "Compare TCP and UDP in a table."
ANSWER = """Both carry data between programs over IP; they differ in what they promise.

| | TCP | UDP |
|---|---|---|
| Connection | a handshake first | none |
| Order and loss | kept, and sent again | left to the program |
| Typical use | web, mail, files | calls, games, DNS |

```python
import socket

with socket.socket(type=socket.SOCK_DGRAM) as sender:
    sender.sendto(b"hello", ("127.0.0.1", 9999))
```
"""
TO_WEBP = """async (png) => {
  const image = new Image();
  image.src = "data:image/png;base64," + png;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL("image/webp", 0.8);
}"""


def main() -> int:
    """Write docs/images/NAME-THEME.webp for every page; returns the exit status."""
    parser = argparse.ArgumentParser(description="Make the pictures that the documentation shows.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="the pages; all of them when none is named")
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("chromium-browser"))
    options = parser.parse_args()
    if not options.browser:
        print("Chromium is not installed; name one with --browser", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as upstream:
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        environment = {**os.environ, "GATEWAY_DATA": folder, "ANTHROPIC_API_KEY": "sk-none"}
        config = Path(folder) / "config.yaml"
        key = "    api_key: ${OPENAI_API_KEY:-}"
        here = f"    api_key: sk-none\n    base_url: http://127.0.0.1:{upstream.server_port}/v1"
        config.write_text((ROOT / "config.yaml").read_text().replace(key, here, 1))
        made = subprocess.check_output(command(config, "demo-data"), env=environment, cwd=ROOT, text=True)
        [password] = re.findall(r"password of them all +(\S+)", made)
        server = subprocess.Popen(
            command(config, "serve", "--port", "0"), env=environment, cwd=ROOT, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            assert server.stdout is not None
            [address] = re.findall(r"http://[\d.:]+", server.stdout.readline())[:1]
            take(options.browser, address, password, options.names or list(PAGES))
        finally:
            server.terminate()
            server.wait(30)
            upstream.shutdown()
    return 0


class Upstream(BaseHTTPRequestHandler):
    """A provider that knows one answer."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        usage = {"prompt_tokens": 14, "completion_tokens": 168, "total_tokens": 182}
        frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        text = {"index": 0, "delta": {"content": ANSWER}, "finish_reason": None}
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        chunks = [{**frame, "choices": [text]}, {**frame, "choices": [end], "usage": usage}]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for data in (*map(json.dumps, chunks), "[DONE]"):
            self.wfile.write(f"data: {data}\n\n".encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: this is no service."""


def command(config: Path, *words: str) -> list[str]:
    """A gateway's command line."""
    return [sys.executable, "-m", "gateway", words[0], "--config", str(config), *words[1:]]


def take(browser_path: str, address: str, password: str, names: list[str]) -> None:
    """Take the pictures as the administrator, the first page as a stranger."""
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for theme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark" if theme == "dark" else "light"
            )
            page = context.new_page()
            signed_in = False
            for name in sorted(names, key=list(PAGES).index):
                if name != "landing" and not signed_in:
                    sign_in(page, address, password)
                    signed_in = True
                answer = page.goto(address + PAGES[name], wait_until="networkidle")
                if answer is None or answer.status != 200:
                    print(f"left out {name}: {PAGES[name]} answered {answer and answer.status}", file=sys.stderr)
                    continue
                if name == "chat":
                    page.fill("#chat-box", QUESTION)
                    page.press("#chat-box", "Enter")
                    page.locator(".message.assistant .figures").wait_for()
                    page.locator(".talk").wait_for()
                time.sleep(0.3)
                (PICTURES / f"{name}-{theme}.webp").write_bytes(to_webp(page, page.screenshot()))
            context.close()
        browser.close()


def to_webp(page: Page, png: bytes) -> bytes:
    """The picture in a third of the size; the browser does it, in a page of its own that no policy binds."""
    blank = page.context.new_page()
    try:
        made = blank.evaluate(TO_WEBP, base64.b64encode(png).decode())
    finally:
        blank.close()
    return base64.b64decode(made.partition(",")[2])


def sign_in(page: Page, address: str, password: str) -> None:
    """As the administrator of the made-up data."""
    page.goto(address + "/login")
    page.fill('input[name="email"]', "admin@example.org")
    page.fill('input[name="password"]', password)
    page.click('main button[type="submit"]')
    page.wait_for_load_state("networkidle")


if __name__ == "__main__":
    sys.exit(main())
