"""wrapd alerts a production team in its own chat the moment a MetaStudio video is finished, failed or frozen."""

__version__ = "0.1.0"
