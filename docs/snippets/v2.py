from linqbot import Client


async def example(client: Client) -> None:
    async for chat in client.v2.list_chats(phone_number="12025550100"):
        print(chat.id, chat.display_name)
