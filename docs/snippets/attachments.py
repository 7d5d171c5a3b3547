from linqbot import Client

LINE, DANA = "+12025550100", "+14155550142"


async def example(client: Client) -> None:
    def show(sent: int, total: int) -> None:
        print(f"{sent * 100 // total} %")

    upload = await client.attachments.upload(b"Name,Time\nDana,20:00\n", filename="tables.csv", progress=show)
    part = {"type": "media", "attachment_id": upload.attachment_id}
    await client.chats.create(from_=LINE, to=[DANA], message={"parts": [part]})
    print((await client.attachments.retrieve(upload.attachment_id)).status)
    await client.attachments.delete(upload.attachment_id)

    # Or bring the bytes yourself: PUT them to `upload_url` with exactly `required_headers`.
    place = await client.attachments.create(filename="menu.pdf", content_type="application/pdf", size_bytes=20_480)
    print(place.http_method, place.required_headers)
