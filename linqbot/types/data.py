"""What all nouns have in common: frozen, and tolerant of what Linq adds before we know it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Data(BaseModel):
    """Plain frozen data from or for Linq.

    Keys we do not know yet survive and can be read from `model_extra`. Fields that Linq fills from a fixed list
    are `str`, not enums: Linq adds values before we do, and a new value must not cost anybody a message.
    """

    # Built at first use: most of a hundred classes are never met by a bot, and building them all costs 15 MiB and 0.1 s.
    model_config = ConfigDict(
        frozen=True, extra="allow", populate_by_name=True, protected_namespaces=(), defer_build=True
    )

    def to_json_object(self) -> dict[str, Any]:
        """The JSON object Linq expects: absent rather than null, Linq's own names."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
