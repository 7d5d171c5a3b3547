from linqbot import Client


async def example(client: Client) -> None:
    if (await client.capability.check_i_message(address="dana@example.com")).available:
        print("speaks iMessage")
    print((await client.capability.check_RCS(address="+14155550142")).selected_service)
