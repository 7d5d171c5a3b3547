from linqbot import Client

DANA = "+14155550142"


async def example(client: Client) -> None:
    begun = await client.payment_handles.connect(DANA)
    code = "424242"  # what Dana reads on the phone; in the emulator it is always this one
    await client.payment_handles.verify(DANA, code=code, connect_id=begun.connect_id or "")
    print((await client.payment_handles.connection(DANA)).status)
    await client.payment_handles.revoke(DANA)
