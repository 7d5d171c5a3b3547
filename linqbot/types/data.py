"""The base of all data classes: frozen, and tolerant of keys and values that Linq adds before linqbot knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict

from linqbot.nearest import missing

DataT = TypeVar("DataT", bound="Data")


class Data(BaseModel):
    """Frozen data from or for Linq.

    Unknown keys are kept and can be read from `model_extra`. Fields that Linq fills from a fixed list are `str`, not
    enums: Linq adds values before linqbot does, and an unknown value must not cost a message.
    """

    # Validators are built at first use: a bot uses few of the hundred classes, and building all takes 15 MiB and 0.1 s.
    model_config = ConfigDict(
        frozen=True, extra="allow", populate_by_name=True, protected_namespaces=(), defer_build=True
    )

    if not TYPE_CHECKING:  # a type checker would accept any name

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                if name.startswith("_") or hasattr(type(self), name):
                    raise
            raise AttributeError(missing(type(self), tuple(vars(self)), name), name="")

    def to_json_object(self) -> dict[str, Any]:
        """Return the JSON object that Linq expects: with Linq's field names, and without fields that are None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def validated(kind: type[DataT], fields: Any) -> DataT:
    """Return `fields` as an instance of `kind`.

    It does what `kind.model_validate` does, without the options, which take as long to look for as some fields.

    Raises:
        ValidationError: a field is missing or does not fit.
    """
    data: DataT = kind.__pydantic_validator__.validate_python(fields)
    return data
