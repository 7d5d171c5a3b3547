"""Linq's legacy V2: one list, another header, number ids, pages by number, another error body.

Nothing else needs this module. To drop V2, delete it, `types/legacy.py`, the row `v2.list_chats` in `endpoints.py`
and what names it in `client.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from linqbot.client.resources.resource import Listing, Page, Resource, read
from linqbot.types.legacy import LegacyChat, LegacyChats


def credentials(api_key: str) -> Mapping[str, str]:
    """How V2 knows its callers: by the same key, in a header of its own."""
    return {"X-LINQ-INTEGRATION-TOKEN": api_key}


class V2(Resource):
    """`client.v2`. Its base is V3's: `…/api/partner/v2`."""

    __slots__ = ()

    def list_chats(self, *, phone_number: str, page: int = 1, per_page: int | None = None) -> Listing[LegacyChat]:
        """List the chats of a line as V2 sees them, page after page.

        Args:
            phone_number: The line. V2 takes US numbers without `+`, such as 13343284472.
            page: Where to begin, from 1.
            per_page: Chats a page, 1 to 100; None is 25.
        Returns:
            A listing: `async for chat in …` walks over all, `await …` is the first page, with `total`.
        Raises:
            LinqApiError: 401; V2 has words for codes, so `code` is None.
        Source: https://docs.linqapp.com/v2/reference/chats/list-chats
        """

        async def at(cursor: str | None) -> Page[LegacyChat]:
            query = {"phone_number": phone_number, "page": cursor, "per_page": per_page}
            got = read(LegacyChats, await self._call("v2.list_chats", query=query), "v2.list_chats")
            last = not got.data or got.meta.page >= got.meta.total_pages
            return Page(got.data, None if last else str(got.meta.page + 1), got.meta.total_count)

        return Listing(at, str(page))
