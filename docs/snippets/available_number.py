from linqbot import Client


async def example(client: Client) -> None:
    found = await client.available_number.retrieve(to=["+14155550142"], type="iMessage")
    print(found.phone_number, found.vcf_url)
