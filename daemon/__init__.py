"""wrapd alerts a production team in its own chat the moment a MetaStudio video is finished, failed or frozen."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("wrapd")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+checkout"
