import asyncio

from linqbot import Client
from linqbot.linq.types.message import TextPart

DANA = "+14155550142"
LAYOUT = {"caption": "Table for two", "subcaption": "Friday, 8 pm"}
CARD = {
    "type": "imessage_app",
    "app": {"team_id": "ABCDE12345", "bundle_id": "com.example.tables", "name": "Tables"},
    "layout": LAYOUT,
    "url": "https://example.com/tables/1",
}


async def example(client: Client) -> None:
    sent = await client.messages.create(to=[DANA], message={"parts": [{"type": "text", "value": "See you at 7"}]})
    message_id = sent.message.id
    await client.messages.update(message_id, text="See you at 8")
    print((await client.messages.retrieve(message_id)).delivery_status)
    await client.messages.add_reaction(message_id, operation="add", type="love")
    await client.messages.add_reaction(message_id, operation="add", type="sticker", emoji="🚀")
    (part,) = (await client.messages.retrieve(message_id)).parts
    assert isinstance(part, TextPart)
    rocket = next(each for each in part.reactions or () if each.type == "sticker")
    await client.messages.update_sticker_placement(rocket.id or "", message_id=message_id, placement={"x": 0.5, "y": 0})
    async for reply in client.messages.list_messages_thread(message_id):
        print(reply.text)

    poll = await client.chats.polls.create(sent.chat_id, poll={"options": [{"text": "Pizza"}, {"text": "Soup"}]})
    await client.messages.poll.add_options(poll.message_id, options=[{"text": "Salad"}])
    await client.messages.poll.vote(poll.message_id, operation="add", option_id=poll.poll.options[0].option_id)
    print((await client.messages.poll.retrieve(poll.message_id)).poll.total_voters)

    card = await client.chats.messages.send(sent.chat_id, message={"parts": [CARD]})
    await asyncio.sleep(1)  # a bot waits for message.sent instead
    await client.messages.update_app_card(card.message.id, layout={**LAYOUT, "subcaption": "Friday, 9 pm"})
    await client.messages.delete(message_id)
