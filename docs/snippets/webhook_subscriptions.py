from linqbot import Client


async def example(client: Client) -> None:
    made = await client.webhook_subscriptions.create(
        target_url="https://bot.example.com/webhooks/linq?version=2026-02-03",
        subscribed_events=["message.received", "reaction.added"],
    )
    print("keep this secret, it is shown once:", len(made.signing_secret))
    await client.webhook_subscriptions.update(made.id, subscribed_events=["message.received"])
    print((await client.webhook_subscriptions.retrieve(made.id)).subscribed_events)
    async for subscription in client.webhook_subscriptions.list():
        print(subscription.target_url, subscription.is_active)
    await client.webhook_subscriptions.delete(made.id)
