"""Languages: what linqbot says to people, and the words that it understands from them.

from linqbot.language import sentences

await ctx.reply(sentences().yes_or_no)
"""

from typing import TYPE_CHECKING

from linqbot.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from linqbot.language.spoken import ENGLISH, in_language, sentences
    from linqbot.language.wording import Sentences

__all__ = ["ENGLISH", "Sentences", "in_language", "sentences"]

_HOMES = {
    "ENGLISH": "linqbot.language.spoken",
    "Sentences": "linqbot.language.wording",
    "in_language": "linqbot.language.spoken",
    "sentences": "linqbot.language.spoken",
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
