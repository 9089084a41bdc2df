"""The API about credits: wallets, what moves between them, what is used of them, calls, the statement and usage."""

from credits.api.calls import router as calls
from credits.api.lines import router as lines
from credits.api.moves import router as moves
from credits.api.uses import router as uses
from credits.api.wallets import router as wallets

routers = (wallets, moves, uses, calls, lines)
