from linqbot import Client
from linqbot.errors import LinqApiError

DANA = "+14155550142"


async def example(client: Client) -> None:
    payment = await client.payments.create(handle=DANA, amount_cents=2500, currency="usd", idempotency_key="booking-1")
    print(payment.status, payment.attach_url)  # needs_connection: see payment_handles
    payment_id = payment.id or ""
    try:
        print(await client.payments.credentials(payment_id))
    except LinqApiError as error:
        print(error.status)  # 409: not approved yet
    print((await client.payments.retrieve(payment_id)).status)
    await client.payments.cancel(payment_id)
