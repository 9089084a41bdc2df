"""A program that talks to the API: a key, a host, and JSON."""

import json
from typing import Any

from django.test import Client

from agency import api_keys
from agency.api_keys import NewKey, Scope
from agency.models import Agency
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, TESTS, host_of


def key_of(agency: Agency, *scopes: str, sub_account: SubAccount | None = None, **wish: Any) -> NewKey:
    """A key of the agency or of the sub-account; without scopes one that may do everything its owner may allow."""
    sub_account_id = sub_account.public_id if sub_account else None
    given = scopes or [scope.value for scope in api_keys.scopes_for(sub_account_id)]
    return api_keys.make(agency=agency, sub_account_id=sub_account_id, name="Test program", scopes=given, by=TESTS, **wish)


class Program(Client):
    """Calls with one key; `call` gives the answer, its `json()` what it says."""

    def __init__(self, key: NewKey | str, host: str = PLATFORM, **kwargs: Any) -> None:
        self.secret = key if isinstance(key, str) else key.secret
        super().__init__(headers={"host": host, "authorization": f"Bearer {self.secret}"}, **kwargs)

    def call(self, method: str, path: str, body: Any = None, *, once: str = "", **extra: Any) -> Any:
        headers = {**extra.pop("headers", {}), **({"idempotency-key": once} if once else {})}
        data = body if isinstance(body, str | bytes) else "" if body is None else json.dumps(body)
        return self.generic(method, f"/api/v1{path}", data, content_type="application/json", headers=headers, **extra)


def of_agency(agency: Agency, *scopes: str, **kwargs: Any) -> Program:
    return Program(key_of(agency, *scopes), **kwargs)


def of_client(sub_account: SubAccount, *scopes: str, **kwargs: Any) -> Program:
    return Program(key_of(sub_account.agency, *scopes, sub_account=sub_account), host_of(sub_account), **kwargs)


__all__ = ["Program", "Scope", "key_of", "of_agency", "of_client"]
