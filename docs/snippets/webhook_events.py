from linqbot import Client


async def example(client: Client) -> None:
    catalogue = await client.webhook_events.list()
    print(len(catalogue.events), "message.received" in catalogue.events)
