"""The product's settings, with what a benchmark changes: a stock backend to compare with, or a project of many migrations."""

import os
import sys

from config.settings import *  # noqa: F403
from config.settings import DATABASES, INSTALLED_APPS, TENANT_APPS

if os.environ.get("BENCH_STOCK"):
    DATABASES["default"]["ENGINE"] = "django_tenants.postgresql_backend"
if folder := os.environ.get("BENCH_MATURE"):
    sys.path.insert(0, folder)
    TENANT_APPS = [*TENANT_APPS, "mature"]
    INSTALLED_APPS = [*INSTALLED_APPS, "mature"]
HOST_CACHE_SECONDS = 3
STATICFILES_DIRS: list[str] = []
