"""The whole product as its users meet it: web, worker and database as processes of their own, on a port of their own."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Product:
    """Migrates a fresh database and runs web and worker against it. `stop()` ends every process it started."""

    def __init__(self, name: str) -> None:
        self.database = f"canopy_{name}"
        self.port = free_port()
        self.base = f"localhost:{self.port}"
        self.url = f"http://{self.base}"
        self.logs = Path(tempfile.mkdtemp(prefix="canopy-product-"))
        self.queues = "celery,webhooks"
        self.processes: list[subprocess.Popen[bytes]] = []
        server = os.environ["DATABASE_URL"]
        self.environment = {
            **os.environ,
            "CANOPY_ENV": "development",
            "DATABASE_URL": server.replace("/canopy?", f"/{self.database}?"),
            "BASE_DOMAIN": self.base,
            "CACHE_PREFIX": self.database,
            "MAILBOX_DIR": str(self.logs / "mail"),
            "LOG_LEVEL": "WARNING",
        }

    def create_database(self) -> None:
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
            server.execute(f'DROP DATABASE IF EXISTS "{self.database}" WITH (FORCE)')
            server.execute(f'CREATE DATABASE "{self.database}"')

    def manage(self, *arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=180
        )
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return result.stdout

    def start(self) -> "Product":
        self.create_database()
        self.manage("migrate", "--verbosity", "0")
        self._spawn(
            "worker",
            "celery",
            "-A",
            "config.celery",
            "worker",
            "--pool",
            "solo",
            "--loglevel",
            "WARNING",
            "--queues",
            self.queues,
            "--without-mingle",
            "--without-gossip",
        )
        self._spawn("web", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{self.port}", "--threads", "8", "--worker-class", "gthread")
        self._wait_for(f"{self.url}/healthz", 30)
        return self

    def spawn_webhooks(self, name: str) -> None:
        """Another worker, for deliveries alone, as production has one."""
        self._spawn(
            name, "celery", "-A", "config.celery", "worker", "--pool", "threads", "--concurrency", "8", "--queues", "webhooks",
            "--loglevel", "WARNING", "--without-mingle", "--without-gossip",
        )  # fmt: skip

    def _spawn(self, name: str, program: str, *arguments: str) -> None:
        log = (self.logs / f"{name}.log").open("wb")
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-m", program, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )

    def _wait_for(self, url: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if urllib.request.urlopen(url, timeout=2).status == 200:
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise AssertionError(f"{url} did not answer within {seconds} s; logs:\n{self.log_tail()}")

    def log_tail(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in sorted(self.logs.glob("*.log")))

    def workspace(self, slug: str) -> str:
        return f"http://{slug}.{self.base}"

    def stop(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
            server.execute(f'DROP DATABASE IF EXISTS "{self.database}" WITH (FORCE)')
