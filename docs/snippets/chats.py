from linqbot import Client

LINE, DANA, KIM, LEE = "+12025550100", "+14155550142", "+14155550187", "+14155550199"


async def example(client: Client) -> None:
    hello = {"parts": [{"type": "text", "value": "Hello!"}]}
    opened = await client.chats.create(from_=LINE, to=[DANA], message=hello)
    chat_id = opened.chat.id
    await client.chats.mark_as_read(chat_id)
    await client.chats.typing.start(chat_id)
    await client.chats.typing.stop(chat_id)
    await client.chats.messages.send(chat_id, message={"parts": [{"type": "link", "value": "https://example.com"}]})
    async for message in client.chats.messages.list(chat_id):
        print(message.created_at, message.text)

    poll = await client.chats.polls.create(chat_id, poll={"options": [{"text": "Friday"}, {"text": "Sunday"}]})
    print(poll.message_id)
    await client.chats.background.set(chat_id, type="dynamic", style="sky", variant="sunset")
    await client.chats.background.remove(chat_id)
    await client.contact_card.create(phone_number=LINE, first_name="Acme")
    await client.chats.share_contact_card(chat_id)
    await client.chats.send_voicememo(chat_id, voice_memo_url="https://example.com/hello.m4a")

    await client.chats.location.request(chat_id)
    for place in (await client.chats.location.retrieve(chat_id)).data.features:
        print(place.properties.handle, place.geometry.latitude, place.geometry.longitude)
        await client.chats.location.stop(chat_id, handle=place.properties.handle)

    group = (await client.chats.create(from_=LINE, to=[DANA, KIM, LEE], message=hello)).chat
    await client.chats.update(group.id, display_name="Dinner")
    await client.chats.participants.add(group.id, handle="ana@example.com")
    await client.chats.participants.remove(group.id, handle=LEE)
    await client.chats.leave_chat(group.id)
    print((await client.chats.retrieve(group.id)).display_name)
    async for chat in client.chats.list_chats(from_=LINE):
        print(chat.id, chat.is_group)
