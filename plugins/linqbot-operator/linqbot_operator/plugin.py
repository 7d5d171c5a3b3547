"""The plugin `operator`: the page. Every bot imports it, so it imports nothing else of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linqbot.hookspecs import Listener, Running, hookimpl

if TYPE_CHECKING:
    from starlette.applications import Starlette


@hookimpl
def register_listeners(running: Running, page: bool) -> list[Listener]:
    if not page:
        return []
    from linqbot.settings import from_env

    settings = from_env()

    def make_app() -> Starlette:
        from linqbot_operator.page.app import page_app

        return page_app(settings, mute_s=running.bot.mute_s)

    return [Listener("page", "The operator's page", settings.page_port, "LINQBOT_PAGE_PORT", make_app)]
