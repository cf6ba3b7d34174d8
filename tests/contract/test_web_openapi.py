"""The API's own description: it is true, whatever is sent, and complete."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from daemon.domain.tokens import ApiScope
from daemon.web.scopes import PAGES, ROUTES
from tests.contract.test_web_access import routes
from tests.contract.test_web_api import dead
from tests.contract.test_web_tracking import end
from tests.support.web import MAIN, OTHER, TOKEN, desk

CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"),
    *("response_headers_conformance", "unsupported_method", "negative_data_rejection", "ignored_auth"),
)
"""Not among them: that all data of the right types is accepted. Filters and names have more rules than types."""


async def described(tmp_path: Path) -> Any:
    async with desk(tmp_path) as it:
        told = await it.ask("GET", "/api/v1/openapi.json")
        assert (told.status, told.headers["content-type"]) == (200, "application/json")
        found = [
            (method, path)
            for method, path in routes(it)
            if path not in PAGES and not path.startswith(("/v/", "/callbacks/"))  # not for tools
        ]
        document = told.json()
        assert sorted((m.upper(), path) for path, each in document["paths"].items() for m in each) == sorted(found)
        return document


async def test_its_routes_are_those_of_the_router_and_need_what_the_table_says(tmp_path: Path) -> None:
    document = await described(tmp_path)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needs = isinstance(ROUTES[path][method.upper()], ApiScope)
            assert (operation.get("security") == [{"token": []}]) == needs, path
            assert operation["summary"], path
            assert ("401" in operation["responses"]) >= needs, path
    assert len({each["operationId"] for of in document["paths"].values() for each in of.values()}) == sum(
        map(len, document["paths"].values())
    )


async def test_every_key_of_a_view_is_explained(tmp_path: Path) -> None:
    schemas = (await described(tmp_path))["components"]["schemas"]
    for name in (
        "JobItem",
        "JobStory",
        "Transition",
        "Delivery",
        "Attempt",
        "Act",
        "Batch",
        "Channel",
        "Token",
        "Mute",
        "Share",
        "Need",
        "Needs",
    ):
        for key, value in schemas[name]["properties"].items():
            assert "$ref" in value or value.get("description"), (name, key)
    assert "cover_url" not in schemas["JobItem"]["properties"]
    assert "cover_url" in schemas["JobStory"]["properties"]
    assert {"from", "to"} <= set(schemas["Transition"]["properties"])


@pytest.mark.long
async def test_whatever_is_sent_is_answered_as_described(tmp_path: Path) -> None:
    async with desk(tmp_path, projects=(MAIN, OTHER)) as it:
        for n in range(30):
            row = it.track(f"j-{n}", label=f"Film {n}", tags=("tv",), batch=f"b-{n % 3}")
            if n < 3:
                dead(it, row)
            elif n < 10:
                end(it, row, "SUCCEED")
        program = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("st")),
            "run",
            f"http://{it.web.address}/api/v1/openapi.json",
            *("--header", f"Authorization: Bearer {TOKEN}"),
            *("--checks", ",".join(CHECKS), "--max-examples", "50", "--seed", "1", "--no-color"),
            *("--exclude-path", "/api/v1/events"),  # it does not end; tests of its own
            *("--phases", "examples,coverage,fuzzing,stateful"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await program.communicate()
        assert program.returncode == 0, said.decode()[-8000:]
