"""The books, for the operator's staff. Everything that was ever posted is read-only here as everywhere."""

from credits.admin import audit, pricing, rows, units, wallets

__all__ = ["audit", "pricing", "rows", "units", "wallets"]
