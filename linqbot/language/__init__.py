"""Languages: what linqbot says to people, and the words that it understands from them.

    from linqbot.language import written

    await ctx.reply(f"Votre table : {written(table)}.")

`Bot(language="fr")` chooses the language of a bot. The parsers of `linqbot.parse` and the questions of `ctx.ask` follow it.
"""

from typing import TYPE_CHECKING

from linqbot.lazy_exports import homes_of, lazy_exports

if TYPE_CHECKING:
    from linqbot.language.spoken import CODES, ENGLISH, in_language, sentences, speaking
    from linqbot.language.wording import Sentences
    from linqbot.language.writing import written

__all__ = ["CODES", "ENGLISH", "Sentences", "in_language", "sentences", "speaking", "written"]

_NAMES = {
    "linqbot.language.spoken": "CODES ENGLISH in_language sentences speaking",
    "linqbot.language.wording": "Sentences",
    "linqbot.language.writing": "written",
}

if not TYPE_CHECKING:  # a type checker would accept any name
    __getattr__ = lazy_exports(__name__, homes_of(_NAMES))
