from linqbot import Client


async def example(client: Client) -> None:
    async for line in client.phone_numbers.list():
        print(line.phone_number, line.reputation)
    line = (await client.phone_numbers.list())[0]
    await client.phone_numbers.update(line.id, forwarding_number="+14155550142")
    await client.phone_numbers.update(line.id, forwarding_number=None)
    audit = await client.phone_numbers.start_reputation_audit(line.phone_number)
    found = await client.phone_numbers.get_reputation_audit(audit.audit_id, phone_number=line.phone_number)
    print(found.status, found.report)
