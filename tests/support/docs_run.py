"""Which commands of the docs are run by tests/e2e/test_docs_run.py, which by another test, and which cannot be."""

import re

from tests.support.docs_blocks import Block, commands_of

RUN = frozenset(
    {"cat", "curl", "echo", "exit", "export", "grep", "head", "jq", "mkdir", "openssl", "printf", "test", "wrapd"}
)
"""Programs that a test may run: they change nothing outside of its folder."""

_HOST = "changes the machine; tests/e2e/test_systemd_lab.py does the same in a booted systemd"
_SHOWS_HOST = "shows the state of a machine on which wrapd is installed"
_PACKAGES = "installs packages from an index, as `make venv` does at the start of `.ci/run`"
NOT_RUN = {
    "chmod": _HOST,
    "chown": _HOST,
    "docker": "needs a container engine; tests/contract/test_packaging_container.py checks the files",
    "install": _HOST,
    "ln": _HOST,
    "ls": _SHOWS_HOST,
    "make": "builds and tests the checkout itself; the targets are checked to exist",
    "pip": _PACKAGES,
    "pytest": "tests/contract/test_adding_a_service.py runs these tests after it has followed the page",
    "python": "a benchmark, which takes minutes; the script is checked to exist",
    "python3": _PACKAGES,
    "rm": _HOST,
    "runuser": _HOST,
    "sed": _HOST,
    "systemctl": _HOST,
    "systemd-run": _HOST,
    "systemd-sysusers": _HOST,
    "tail": _HOST,
    "userdel": _HOST,
    "usermod": _HOST,
}
"""Programs that no test runs in the docs, with the reason. A block with one is not run as a whole."""

ELSEWHERE = {
    "docs/api.md": "tests/contract/test_web_docs.py",
    "docs/simulator.md": "tests/contract/test_docs_examples.py",
}
"""Pages whose requests by curl another test sends, each one with what it needs."""

EXPECTED = {
    "wrapd jobs move": {6},  # OLD and NEW stand for names
    "wrapd deliveries move": {6},
    "wrapd needs": {0, 1},  # 1: something does
}
"""Commands that do not end with 0 in the test, by how they begin."""


def runs(block: Block) -> bool:
    """Whether a test runs the block."""
    words = (command[0] for command in commands_of(block.text))
    return {word for word in words if re.match(r"[a-z./]", word)} <= RUN  # others are patterns of a `case`
