"""Pages stay small: gzipped bytes of what every page loads."""

import gzip
import re
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders

ROOT = Path(settings.BASE_DIR)
STYLES = "css/app.css"
SCRIPTS = ["js/app.js", "django_htmx/htmx-2.min.js"]


def gzipped(name: str) -> int:
    return len(gzip.compress(Path(str(finders.find(name))).read_bytes()))


def test_the_stylesheet_is_small() -> None:
    assert gzipped(STYLES) <= 15_000


def test_the_scripts_are_small() -> None:
    assert sum(map(gzipped, SCRIPTS)) <= 25_000


def test_no_template_carries_what_the_policy_forbids() -> None:
    forbidden = re.compile(r"\sstyle=|\son[a-z]+=\"|<style|<script(?![^>]*(\ssrc=|type=\"application/json\"))", re.IGNORECASE)
    pages = [page for page in (ROOT / "templates").rglob("*.html") if "mails" not in page.parts and "email" not in page.parts]

    assert [str(page) for page in pages if forbidden.search(page.read_text())] == []
