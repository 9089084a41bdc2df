"""Where the browser for the browser tests is: `python -m tests.chromium` prints its path, or nothing."""

import os
import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """CHROMIUM, the system's, or one that Playwright has installed."""
    if named := os.environ.get("CHROMIUM"):
        return named
    for name in NAMES:
        if found := shutil.which(name):
            return found
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    bundled = sorted(cache.glob("chromium-*/chrome-linux*/chrome"))
    return str(bundled[-1]) if bundled else None


if __name__ == "__main__":
    print(find() or "")
