"""Linq's legacy V2: one list, with its own authentication header, numeric ids, page numbers and error body.

No other module needs this one. To drop V2, delete this module, `linq/types/legacy.py`, the row `v2.list_chats` in
`linqbot/linq/endpoints.py`, and the property `v2` and its credentials in `client.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from linqbot.client.resources.resource import Listing, Page, Resource

if TYPE_CHECKING:
    from linqbot.linq.types.legacy import LegacyChat


def credentials(api_key: str) -> Mapping[str, str]:
    """Return the header that authenticates V2 calls: the same API key under another name."""
    return {"X-LINQ-INTEGRATION-TOKEN": api_key}


class V2(Resource):
    """`client.v2`. Its base URL is that of V3: `…/api/partner/v2`."""

    __slots__ = ()

    def list_chats(self, *, phone_number: str, page: int = 1, per_page: int | None = None) -> Listing[LegacyChat]:
        """List the chats of a line in V2's format.

        Args:
            phone_number: The line. V2 takes US numbers without `+`, such as 13343284472.
            page: The first page to read, from 1.
            per_page: Chats per page, 1 to 100; None is 25.
        Returns:
            A listing: `async for chat in …` iterates over all pages, `await …` returns the first page, with `total`.
        Raises:
            LinqApiError: 401 the API key is not accepted. V2 codes are words, so `code` is None.
        Source: https://docs.linqapp.com/v2/reference/chats/list-chats
        """
        from linqbot.linq.types.legacy import LegacyChats

        async def at(cursor: str | None) -> Page[LegacyChat]:
            query = {"phone_number": phone_number, "page": cursor, "per_page": per_page}
            got = await self._read(LegacyChats, "v2.list_chats", query=query)
            last = not got.data or got.meta.page >= got.meta.total_pages
            return Page(got.data, None if last else str(got.meta.page + 1), got.meta.total_count)

        return Listing(at, str(page))
