from linqbot import Client

LINE, DANA = "+12025550100", "+14155550142"


async def example(client: Client) -> None:
    async for experience in client.experiences.list():
        print(experience.experience, experience.display_name)
    print((await client.experiences.retrieve("link")).actions)
    card = {"name": "link", "action": "open", "params": {"url": "https://example.com"}}
    await client.chats.create(from_=LINE, to=[DANA], message={"experience": card})
