"""Languages: what linqbot says to people, and the words that it understands from them.

    from linqbot.language import written

    await ctx.reply(f"Votre table : {written(table)}.")

`Bot(language="fr")` chooses the language of a bot. The parsers of `linqbot.parse` and the questions of `ctx.ask` follow it.
"""

from linqbot.language.spoken import CODES, ENGLISH, in_language, sentences, speaking
from linqbot.language.wording import Sentences
from linqbot.language.writing import written

__all__ = ["CODES", "ENGLISH", "Sentences", "in_language", "sentences", "speaking", "written"]
