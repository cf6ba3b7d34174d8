"""The words of every message, a catalogue for each language. Must never know a job, a channel or a markup."""

from collections.abc import Mapping

from daemon.notify.message import Language
from daemon.notify.message.language.catalogue import Catalogue
from daemon.notify.message.language.chinese import CHINESE
from daemon.notify.message.language.english import ENGLISH

__all__ = ["CATALOGUES", "Catalogue", "catalogue"]

CATALOGUES: Mapping[Language, Catalogue] = {Language.ENGLISH: ENGLISH, Language.CHINESE: CHINESE}


def catalogue(language: Language) -> Catalogue:
    """The words of a language.

    >>> catalogue(Language.CHINESE).field_names["ended"]
    '完成时间'
    """
    return CATALOGUES[language]
