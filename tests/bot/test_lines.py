"""The bot of docs/lines.md on two lines: each line answers for itself, and a person's state is shared or separate."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from linqbot_dev.emulator.acts.conversation import Text, Write
from linqbot_dev.emulator.model.message_content import TextPartRecord

from linqbot.testing import talking

PAGE = (Path(__file__).parents[2] / "docs" / "lines.md").read_text()


async def test_the_bot_of_the_page_answers_on_the_line_that_was_written_to() -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    names: dict[str, Any] = {"__name__": "lines"}
    exec(compile(code, "lines", "exec", dont_inherit=True), names)
    sales, support, owner = names["SALES"], names["SUPPORT"], names["OWNER"]
    async with talking(names["bot"]) as phone:

        async def write(text: str, line: str) -> None:
            phone.emulator.do(Write(from_=phone.handle, to=line, parts=[Text(value=text)]))
            await phone.quiet()

        for text, line in [("hours", sales), ("hours", support), ("hi", sales), ("hi", support), ("again", support)]:
            await write(text, line)
        said = {
            (chat.line, member.handle): [
                part.value
                for message in chat.messages
                for part in message.parts
                if message.is_from_me and isinstance(part, TextPartRecord)
            ]
            for chat in phone.emulator.state.chats.values()
            for member in chat.members
            if member.handle != chat.line
        }
        state = await phone.state(names["Customer"]), await phone.state(names["Customer"], name=f"Customer {support}")
    hours = "We are open from 9 to 5."
    assert said == {
        (sales, phone.handle): [hours, "Sales here. What would you like?"],
        (support, phone.handle): [hours, "Support here. Message 2 of yours.", "Support here. Message 3 of yours."],
        (support, owner): ["A customer writes."],
    }
    assert [each.messages for each in state] == [3, 2]
