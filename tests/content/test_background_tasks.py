from __future__ import annotations

import asyncio

from fakes import settled

from linqbot.content.typing import BackgroundTasks


async def test_the_tasks_that_still_run_are_cancelled_in_the_order_in_which_they_were_started() -> None:
    tasks, ended = BackgroundTasks(), list[int]()

    async def endless(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    for number in range(100):
        tasks.start(endless(number))
    await settled()
    await tasks.aclose()
    assert ended == list(range(100))
