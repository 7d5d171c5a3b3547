from linqbot import Client


async def example(client: Client) -> None:
    await client.blocked_handles.block(handle="+14155550142", reason="spam")
    async for blocked in client.blocked_handles.list():
        print(blocked.handle, blocked.blocked_at, blocked.reason)
    await client.blocked_handles.unblock(handle="+14155550142")
