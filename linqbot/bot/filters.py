"""The names of `engine/filters.py` that authors import from here: `from linqbot.bot.filters import Filter`."""

from linqbot.engine.filters import Filter, Predicate

__all__ = ["Filter", "Predicate"]
