"""Web, worker and beat as real processes."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
import yaml

from config.embedded import Embedded
from tests.product import free_port

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def example() -> dict[str, str]:
    """The variables of .env.example."""
    lines = [line for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


class Server:
    """The commands of the compose file on this machine, in production settings, against a database of their own.

    `on` names the PostgreSQL and Redis to use; those of the test run when it is left out.
    """

    def __init__(self, logs: Path, on: Embedded | None = None, **environment: str) -> None:
        self.logs = logs
        self.database_server = on.database_url if on else os.environ["DATABASE_URL"]
        self.port = free_port()
        self.database = f"canopy_house_{os.getpid()}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            **os.environ,
            **{name: value for name, value in example().items() if value},
            "SECRET_KEY": "a-key-for-this-one-run-of-the-tests-and-for-nothing-else-0123456789",
            "DATABASE_URL": re.sub(r"/\w+\?", f"/{self.database}?", self.database_server),
            "REDIS_URL": on.redis_url if on else os.environ["REDIS_URL"],
            "CACHE_PREFIX": self.database,
            "PORT": str(self.port),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **environment,
        }

    def migrate(self) -> None:
        self.sql(f'DROP DATABASE IF EXISTS "{self.database}" WITH (FORCE)', f'CREATE DATABASE "{self.database}"')
        subprocess.run(COMPOSE["services"]["migrate"]["command"], cwd=ROOT, env=self.environment, check=True, capture_output=True)
        subprocess.run(
            ["python", "manage.py", "collectstatic", "--noinput", "-v", "0"],
            cwd=ROOT,
            env=self.environment,
            check=True,
            capture_output=True,
        )

    def sql(self, *statements: str) -> None:
        with psycopg.connect(self.database_server, autocommit=True) as server:
            for statement in statements:
                server.execute(statement.encode())

    def start(self, service: str, name: str = "") -> subprocess.Popen[bytes]:
        command = COMPOSE["services"][service]["command"]
        log = (self.logs / f"{name or service}.log").open("wb")
        process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self.processes[name or service] = process
        return process

    def get(self, path: str, host: str = "canopy.example") -> tuple[int, str]:
        headers = {"Host": host, "X-Forwarded-Proto": "https"}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers), timeout=5
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode()
        except OSError as error:
            return 0, str(error)

    def wait_for(self, wanted: tuple[int, str], path: str = "/readyz", seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while (answer := self.get(path)) != wanted:
            assert time.monotonic() < until, f"{answer}\n{self.log()}"
            time.sleep(0.2)

    def log(self) -> str:
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-2000:]}" for file in sorted(self.logs.glob("*.log")))

    def stop(self, name: str) -> int:
        process = self.processes.pop(name)
        process.terminate()
        return process.wait(40)

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.sql(f'DROP DATABASE IF EXISTS "{self.database}" WITH (FORCE)')
