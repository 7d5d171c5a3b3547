"""The whole state as one JSON object in the shapes of the API: for `--state FILE`, seeds and restarts.

`saving.py` writes the object and `loading.py` reads it.

The object has the lists `phone_numbers`, `chats`, `messages`, `attachments`, `webhook_subscriptions`, `contact_cards`,
`blocked_handles`, `payment_requests`, `payments` and `connections`; ids stay as they are. In addition to the API's
fields there are a few of the emulator, such as the number of edits, so that a new run continues where another ended. A
seed written by hand may leave out every field with an obvious default. Rate limits, typing and shared locations are not
saved.
"""
