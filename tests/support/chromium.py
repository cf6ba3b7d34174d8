"""Debian's Chromium on the pages: what it says, asks for and runs is watched."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import BrowserContext, Dialog, Page, async_playwright

from tests.support.programs import need
from tests.support.web import TOKEN, Desk

WIDTHS, SCHEMES, LANGUAGES = (360, 1600), ("light", "dark"), ("en", "zh-CN")
"""Each page is looked at in the eight combinations of these."""
HOOKS = """
for (const name of ["alert", "confirm", "prompt", "open", "print"])
  window[name] = (...given) => { window.reported(`${name}(${given})`); return null; };
addEventListener("securitypolicyviolation", (event) => {
  window.reported(`csp, ${event.disposition}: ${event.violatedDirective} ${event.blockedURI}`);
}, true);
new ReportingObserver((found) => {
  for (const each of found) window.reported(`${each.type}: ${JSON.stringify(each.body)}`);
}, { buffered: true }).observe();
"""
"""Runs before anything of a page: tells of calls that a script of others would make, and of what the browser
reports, also of a policy that only reports."""
_ACTIVE = """
() => {
  const leading = new Set(["href", "src", "action", "formaction", "xlink:href", "srcset", "data", "poster", "ping",
    "cite", "background", "longdesc", "manifest", "codebase", "classid", "from", "to", "values"]);
  const wrong = [];
  for (const node of document.querySelectorAll("*")) for (const { name, value } of node.attributes) {
    const shown = `${node.localName} ${name}=${value.slice(0, 100)}`;
    if (/^on/i.test(name) || name === "style" || name === "srcdoc") wrong.push(shown);
    if (!leading.has(name.toLowerCase())) continue;
    let url;
    try { url = new URL(value, document.baseURI); } catch { wrong.push(shown); continue; }
    if (url.origin !== location.origin) wrong.push(shown);
  }
  const active = "script, style, iframe, frame, object, embed, base, meta[http-equiv], link:not([rel=icon])";
  for (const node of document.querySelectorAll(active)) {
    const path = new URL(node.src || node.href || "about:blank", document.baseURI).pathname;
    const own = (node.localName === "script" && path === "/static/wrapd.js" && !node.textContent)
      || (node.localName === "link" && node.rel === "stylesheet" && path === "/static/wrapd.css");
    if (!own) wrong.push(node.outerHTML.slice(0, 160));
  }
  return wrong;
}
"""


class Watched:
    """What the pages of a context said, asked for and ran; `foreign` are requests to other hosts."""

    def __init__(self, context: BrowserContext, own: str) -> None:
        self.said: list[str] = []
        self.foreign: list[str] = []
        self._own = f"{own}/"
        context.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        context.on("weberror", lambda error: self.said.append(str(error.error)))
        context.on("dialog", self._dismiss)
        context.on("request", lambda request: self._check_host(request.url))

    async def hook(self, context: BrowserContext) -> None:
        """Also watch from within each page that is opened from now on."""
        await context.expose_binding("reported", lambda _, text: self.said.append(text))
        await context.add_init_script(HOOKS)

    async def _dismiss(self, dialog: Dialog) -> None:
        self.said.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _check_host(self, url: str) -> None:
        if not url.startswith(self._own):
            self.foreign.append(url)

    def check(self) -> None:
        """Nothing was said, and no other host was asked."""
        assert self.said == []
        assert self.foreign == []


@asynccontextmanager
async def _opened(**options: Any) -> AsyncIterator[BrowserContext]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        yield await browser.new_context(**{"locale": "en", **options})
        await browser.close()


@asynccontextmanager
async def browsing(it: Desk, **options: Any) -> AsyncIterator[tuple[BrowserContext, str]]:
    """A context of a new browser, and the address of the pages; `options` are Playwright's."""
    async with _opened(**options) as context:
        yield context, f"http://{it.web.address}"


@asynccontextmanager
async def chromium(own: str, **options: Any) -> AsyncIterator[tuple[BrowserContext, Watched]]:
    """A context of a new browser for the pages at `own`, watched; `options` are Playwright's."""
    async with _opened(**options) as context:
        watched = Watched(context, own)
        if options.get("java_script_enabled", True):
            await watched.hook(context)
        yield context, watched


async def log_in(page: Page, url: str, token: str = TOKEN) -> None:
    """Log in by a token, through the form."""
    await page.goto(f"{url}/login")
    await page.fill("#token", token)
    await page.click("button.main")
    await page.wait_for_url(f"{url}/")


async def active_content(page: Page) -> list[str]:
    """What of the page's document could run something or leads to another host or scheme, besides wrapd's own
    module and style sheet."""
    found: list[str] = await page.evaluate(_ACTIVE)
    return found


async def width_of(page: Page) -> int:
    """The width of the page's content in pixels: more than that of the screen means that it scrolls sideways."""
    found: int = await page.evaluate("document.documentElement.scrollWidth")
    return found


async def violations(page: Page, source: str) -> list[str]:
    """What axe-core (its `source`) finds wrong with the page by WCAG 2.2 AA and its own best practice. The page's
    context must bypass the CSP."""
    await page.evaluate(source)
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    result = await page.evaluate("options => axe.run(document, options)", options)
    return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in result["violations"]]
