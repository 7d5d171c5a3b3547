from linqbot import Client


async def example(client: Client) -> None:
    print((await client.payment_providers.retrieve("natural")).status)
    joining = await client.payment_providers.connect("natural", return_url="https://example.com/done")
    print(joining.hosted_url)
