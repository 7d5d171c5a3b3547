from linqbot import Client

DANA = "+14155550142"


async def example(client: Client) -> None:
    request = await client.payment_requests.create(
        amount=2500, currency="usd", description="Table deposit", idempotency_key="booking-1"
    )
    pay = {"name": "agentpay", "action": "request_payment", "params": {"checkout_url": request.checkout_url}}
    await client.messages.create(to=[DANA], message={"experience": pay})
    print((await client.payment_requests.retrieve(request.id)).status)
    async for each in client.payment_requests.list(status="requested"):
        print(each.amount, each.description)
    await client.payment_requests.cancel(request.id)
