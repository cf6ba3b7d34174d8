"""wrapd alerts a production team in its own chat the moment a MetaStudio video is finished, failed or frozen."""

import sys

__version__ = "0.1.0"

# httpx imports its own command if it can, and with that click and Rich. Set before any module imports httpx.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
