"""A browser without JavaScript: it keeps cookies, and sends the forms of the pages that it got."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from tests.support.web import Answer, Desk

FORM = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
"""The headers with which a browser sends a form of the same site."""
_TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Browser:
    """`headers` are sent with every request."""

    desk: Desk
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, path: str, form: Mapping[str, str] | None = None, **headers: str) -> Answer:
        body = urlencode(form or {}).encode() if method == "POST" else None
        named = {**self.headers, **(FORM if method == "POST" else {}), **headers}
        if self.cookies:
            named["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        told = await self.desk.ask(method, path, headers=named, body=body)
        for name, found in SimpleCookie(told.headers.get("set-cookie", "")).items():
            if found["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = found.value
        return told

    async def get(self, path: str) -> Answer:
        return await self.ask("GET", path)

    async def send(self, path: str, **form: str) -> Answer:
        """Send a form with the token of a page of the session."""
        return await self.ask("POST", path, {"csrf": await self.token(), **form})

    async def token(self) -> str:
        """The token of a form of this session."""
        told = await self.get("/account")
        found = _TOKEN.search(told.body.decode())
        assert found is not None, told.status
        return found[1]


async def logged_in(it: Desk, token: str, **headers: str) -> Browser:
    """A browser that has logged in by a token."""
    browser = Browser(it, headers)
    told = await browser.ask("POST", "/login", {"token": token})
    assert (told.status, told.headers["location"]) == (303, "/"), told
    return browser
