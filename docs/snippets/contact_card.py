from linqbot import Client

LINE = "+12025550100"


async def example(client: Client) -> None:
    await client.contact_card.create(phone_number=LINE, first_name="Acme")
    await client.contact_card.update(phone_number=LINE, last_name="Support")
    for card in (await client.contact_card.retrieve()).contact_cards:
        print(card.phone_number, card.first_name, card.last_name)
