"""Requests to addresses of somebody else's choice reach the public Internet or nothing."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from kit import egress

# Every way to write an address that is not public: the guard sees what the name resolves to.
NOT_PUBLIC = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "localhost", "localhost.", "LOCALHOST",
    "0.0.0.0", "0", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "169.254.169.254", "169.254.0.1",
    "100.64.0.1", "100.127.255.254", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.88.99.1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[64:ff9b:1::a00:1]", "[2002:7f00:1::]", "[2002:a00:1::1]", "[2001:0:7f00:1::]", "[fc00::1]", "[fd12:3456::1]",
    "[fe80::1]", "[fec0::1]", "[ff02::1]", "[100::1]", "[2001:db8::1]", "[3fff::1]", "[5f00::1]", "１２７.0.0.1", "127。0。0。1",
]  # fmt: skip


class Canary(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.hits += 1  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def canary() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Canary)
    server.hits = 0  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_h11_no_spelling_of_an_inner_address_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    dialled: list[Any] = []
    monkeypatch.setattr(socket, "create_connection", lambda address, *args, **kwargs: dialled.append(address))
    let_through = []
    for host in NOT_PUBLIC:
        for send in (egress.checked, lambda url: egress.post(url, body=b"{}", headers={})):
            with pytest.raises((egress.TargetRefused, egress.ExchangeFailed), match="."):
                send(f"https://{host}/hook")
                let_through.append(host)
    assert let_through == []
    assert dialled == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "gopher://example.com/", "ftp://example.com/", "https://user:pw@example.com/", "https://example.com:22/",
        "https://example.com:6379/", "https://", "//example.com/", "example.com", "https://exa mple.com/", "https://example.com/\r\nX: y",
        "https://example.com/%0d%0aX:%20y", "https://example.com\\@127.0.0.1/", "https://" + "a" * 600 + ".com/", "https://a..b/", "https://[::1/",
        "https://example.com:99999/", "https://example.com/ä",
    ],
)  # fmt: skip
def test_h14_h17_only_plain_web_addresses_are_taken(url: str) -> None:
    with pytest.raises(egress.TargetRefused):
        egress.checked(url)


def test_h12_a_name_that_answers_differently_the_second_time_gains_nothing(
    monkeypatch: pytest.MonkeyPatch, canary: ThreadingHTTPServer
) -> None:
    answers = iter(["93.184.215.14", "127.0.0.1"] * 20)
    asked: list[str] = []

    def resolve(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    dialled: list[Any] = []

    def dial(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        dialled.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", dial)
    for _ in range(10):
        with pytest.raises((egress.ExchangeFailed, egress.TargetRefused)):
            egress.post("https://rebinding.example/", body=b"{}", headers={})

    assert len(asked) == 10, "resolved once a request"
    assert set(dialled) == {"93.184.215.14"}
    assert canary.hits == 0  # type: ignore[attr-defined]


def test_h15_a_name_server_that_hangs_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: let_go.wait(20) and [])
    monkeypatch.setattr(egress, "CONNECT_SECONDS", 0.1)
    started = time.monotonic()
    with pytest.raises(egress.ExchangeFailed, match="not allowed"):
        egress.post("https://slow.example/", body=b"{}", headers={})
    assert time.monotonic() - started < 5
    let_go.set()


def test_one_inner_address_among_public_ones_refuses_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("93.184.215.14", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)

    with pytest.raises(egress.ExchangeFailed, match="not allowed"):
        egress.post("https://mixed.example/", body=b"{}", headers={})


def test_the_operators_own_network_can_be_allowed(canary: ThreadingHTTPServer, settings: Any) -> None:
    settings.WEBHOOK_PRIVATE_NETWORKS = ["127.0.0.1/32"]

    answer = egress.post(f"http://127.0.0.1:{canary.server_port}/hook", body=b"{}", headers={})

    assert answer.status == 200
    assert canary.hits == 1  # type: ignore[attr-defined]


def _serve(script: Any) -> tuple[socket.socket, int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            try:
                script(connection)
            except OSError:
                return

    threading.Thread(target=run, daemon=True).start()
    return listener, listener.getsockname()[1]


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def flood(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def endless_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: " + b"y" * 1000 + b"\r\n")


def test_h15_slow_and_huge_answers_end(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEBHOOK_PRIVATE_NETWORKS = ["127.0.0.1/32"]
    monkeypatch.setattr(egress, "TOTAL_SECONDS", 0.5)
    for script in (drip, endless_headers):
        listener, port = _serve(script)
        with listener, pytest.raises(egress.ExchangeFailed):
            egress.post(f"http://127.0.0.1:{port}/", body=b"{}", headers={})
    listener, port = _serve(flood)
    with listener:
        assert len(egress.post(f"http://127.0.0.1:{port}/", body=b"{}", headers={}).body) == egress.KEPT_BYTES
