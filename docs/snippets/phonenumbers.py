from linqbot import Client


async def example(client: Client) -> None:
    async for line in client.phonenumbers.list():  # deprecated by Linq: use client.phone_numbers
        print(line.phone_number, line.capabilities)
