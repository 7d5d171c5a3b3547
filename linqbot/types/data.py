"""The base of all data classes: frozen, and tolerant of keys and values that Linq adds before linqbot knows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Data(BaseModel):
    """Frozen data from or for Linq.

    Unknown keys are kept and can be read from `model_extra`. Fields that Linq fills from a fixed list are `str`, not
    enums: Linq adds values before linqbot does, and an unknown value must not cost a message.
    """

    # Validators are built at first use: a bot uses few of the hundred classes, and building all takes 15 MiB and 0.1 s.
    model_config = ConfigDict(
        frozen=True, extra="allow", populate_by_name=True, protected_namespaces=(), defer_build=True
    )

    def to_json_object(self) -> dict[str, Any]:
        """Return the JSON object that Linq expects: with Linq's field names, and without fields that are None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
