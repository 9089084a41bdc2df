"""The description: whole, current, and nothing of the agency's in the clients' one."""

import json
from pathlib import Path

from config.api_description import description

FILE = Path(__file__).parents[2] / "docs" / "api" / "openapi.json"
HOW = "It is old. Write it anew: bin/describe-api"


def as_text() -> str:
    return json.dumps(description(), indent=2, ensure_ascii=False) + "\n"


def test_the_file_is_what_the_operations_say() -> None:
    assert FILE.read_text() == as_text(), HOW


def test_a_client_reads_of_its_own_operations_only() -> None:
    own = description(for_clients=True)

    assert set(own["paths"]) < set(description()["paths"])
    assert all(operation["x-sub-account-keys"] for by_method in own["paths"].values() for operation in by_method.values())
    assert "SubAccountWanted" not in own["components"]["schemas"]


def test_it_names_no_host_and_no_brand() -> None:
    text = as_text().lower()

    assert "canopy" not in text and "http" not in text.replace("https", "http").replace('"type": "http"', "")


def test_every_operation_and_field_says_what_it_is() -> None:
    for path, by_method in description()["paths"].items():
        for method, operation in by_method.items():
            assert operation.get("description"), f"{method} {path}"
            assert operation["tags"], f"{method} {path}"
