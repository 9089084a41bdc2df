"""The websites of the demo's clients, as a client's own web server would serve them: another origin, one script tag."""

import http.server
import mimetypes
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections

from subaccounts.models import SubAccount
from subaccounts.tenancy import enter
from workspace.models import Chatbot

FOLDER = Path(settings.BASE_DIR) / "demo" / "website"
SITES = {"/": "acme-plumbing", "/koala/": "koala-legal", "/sunrise/": "sunrise-cleaning"}
MARK = b"<!-- chat -->"


def script_tag(slug: str) -> str:
    """The real tag of the client's first chatbot, looked up now; empty while it has none."""
    close_old_connections()
    sub_account = SubAccount.objects.ready().filter(slug=slug).first()
    if sub_account is None:
        return ""
    with enter(sub_account):
        bot = Chatbot.objects.answering().order_by("id").first()
    if bot is None:
        return ""
    return f'<script async src="{settings.SCHEME}://{slug}.{settings.BASE_DOMAIN}/widget.js" data-chatbot="{bot.public_id}"></script>'


class Site(http.server.BaseHTTPRequestHandler):
    """Serves demo/website/ and nothing else."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in SITES:
            page = (FOLDER / path.strip("/") / "index.html").read_bytes()
            self._send(page.replace(MARK, script_tag(SITES[path]).encode()), "text/html; charset=utf-8")
        elif path == "/site.css":
            self._send((FOLDER / "site.css").read_bytes(), mimetypes.types_map[".css"])
        else:
            self.send_error(404)

    do_HEAD = do_GET  # noqa: N815  (the name that http.server calls)

    def _send(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: it runs beside the product in one terminal."""


class Command(BaseCommand):
    help = "Serve the demo clients' websites, with their chatbots, until interrupted."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("port", type=int)
        parser.add_argument("--host", default="127.0.0.1")

    def handle(self, *args: Any, port: int, host: str, **options: Any) -> None:
        with http.server.ThreadingHTTPServer((host, port), Site) as server:
            self.stdout.write(f"Websites of the demo's clients: http://localhost:{server.server_address[1]}/")
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                self.stdout.write("Stopped.")
