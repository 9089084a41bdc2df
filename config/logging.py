"""Structured logs."""

import logging


def configure(*, level: str, as_json: bool) -> None:
    logging.basicConfig(level=level)
