"""wrapd alerts a production team in its own chat the moment a MetaStudio video is finished, failed or frozen."""

import sys
from importlib.metadata import PackageNotFoundError, version

# The command of httpx, which it would load with click and Rich wherever these are installed.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

try:
    __version__ = version("wrapd")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+checkout"
