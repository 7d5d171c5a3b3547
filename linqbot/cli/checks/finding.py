"""What a check finds: a sentence with the values, and for each fault its code and what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from linqbot.errors import LinqbotError

Status: TypeAlias = Literal["ok", "warning", "failure", "skipped"]

FAULTS: Final[dict[str, str]] = {
    "LQB6000": "Look at what it says. If it looks like a mistake of linqbot's, please report it with this code.",
    "LQB6001": "Correct it. Every setting is explained by: linqbot serve --help",
    "LQB6002": "Correct the bot: linqbot dev {file} shows the whole error.",
    "LQB6010": "Set LINQ_API_V3_API_KEY to the API token from your Linq dashboard.",
    "LQB6011": "Copy the token again from your Linq dashboard into LINQ_API_V3_API_KEY; it may have been deleted or expired.",
    "LQB6012": "Look at LINQ_API_V3_BASE_URL, and at whether this machine may reach it: name service, firewall, HTTPS_PROXY.",
    "LQB6013": "Look at the code in Linq's documents, and ask Linq's support with the trace id.",
    "LQB6020": "Ask Linq for a line, or use the token of the environment that has one.",
    "LQB6021": "Stop writing to people who do not answer, and see what weighs on the line: "
    "client.phone_numbers.start_reputation_audit(line)",
    "LQB6022": "Slow down, and see what weighs on the line: client.phone_numbers.start_reputation_audit(line)",
    "LQB6023": "It cannot send until Linq trusts it again: send from another line, and ask Linq's support.",
    "LQB6030": "Subscribe: linqbot webhooks sync {file} --url {url}",
    "LQB6031": "Linq sends nothing to it. Resume it: linqbot webhooks sync {file} --url {url}",
    "LQB6032": "These handlers never run. Subscribe to them: linqbot webhooks sync {file} --url {url}",
    "LQB6033": "They cost a delivery each and nobody looks. Leave them out: linqbot webhooks sync {file} --url {url}",
    "LQB6034": "Pin the version that linqbot wants: linqbot webhooks sync {file} --url {url}",
    "LQB6035": "Every event comes twice, and once is handled. Finish the rotation (linqbot webhooks rotate), or delete one: "
    "linqbot webhooks delete ID",
    "LQB6036": "Nothing of the account's other lines arrives. If it should: linqbot webhooks sync {file} --url {url} --all-lines",
    "LQB6040": "Subscribe, which keeps it: linqbot webhooks sync {file} --url {url}; or set LINQ_WEBHOOK_SECRET.",
    "LQB6041": "Linq shows a secret only once. Make a new one: linqbot webhooks rotate --url {url}",
    "LQB6042": "Linq does not tell. If deliveries are refused (delivery.forged in the log), make a new one: "
    "linqbot webhooks rotate --url {url}",
    "LQB6043": "Let its owner alone read it: chmod 600 {secret_file}",
    "LQB6044": "Correct it. Or move it away, and make a new secret: linqbot webhooks rotate --url {url}",
    "LQB6050": "Deliveries this far off are refused. Set the clock: timedatectl set-ntp true",
    "LQB6051": "From 300 s on deliveries are refused. Set the clock: timedatectl set-ntp true",
    "LQB6060": "Start the bot (linqbot serve {file}) and look at the proxy, the tunnel, the name service and the firewall.",
    "LQB6061": "Linq does not deliver to it. Renew the certificate, and serve the whole chain for this very name.",
    "LQB6062": "Linq does not deliver there. Subscribe the address it leads to: linqbot webhooks sync {file} --url …",
    "LQB6063": "The bot's webhook is at /webhooks/linq. Let the proxy pass this path on, unchanged.",
    "LQB6064": "What stands before the bot wants to know who calls. Let POSTs to this path through: linqbot checks their "
    "signature.",
    "LQB6065": "Renew it, or look at why that is not done by itself.",
    "LQB6066": "Look at the bot's log, and at the log of what stands before it.",
    "LQB6067": "This is not linqbot, which checks every signature. Let the address lead to: linqbot serve {file}",
    "LQB6070": "Give both the same: the bot at this address reads LINQ_WEBHOOK_SECRET and LINQ_WEBHOOK_SECRET_FILE where it "
    "runs. Or make a new one: linqbot webhooks rotate --url {url}",
    "LQB6071": "Let the proxy pass on the headers webhook-id, webhook-timestamp and webhook-signature.",
    "LQB6072": "Let the proxy pass on the body byte for byte: no re-written JSON, no inspection that changes it.",
    "LQB6073": "Linq will try again, for half an hour. The bot's log says why: storage, overload, or its clock.",
    "LQB6074": "Name the proxies only: addresses or networks, such as 10.0.0.0/8, in LINQBOT_TRUSTED_PROXIES.",
    "LQB6080": "Let the user who serves write into the folder of LINQBOT_STORAGE, or choose another.",
    "LQB6081": "Upgrade linqbot, or use another storage file: LINQBOT_STORAGE",
    "LQB6082": "Make room: a full disk means 503 for every delivery.",
    "LQB6083": "Set LINQBOT_STORAGE to a file, such as sqlite:///linqbot.db.",
    "LQB6084": "Correct LINQBOT_STORAGE. It is a URL such as sqlite:///linqbot.db.",
    "LQB6085": "Look at them: linqbot inbox dead. Then: linqbot inbox retry, or purge.",
    "LQB6086": "Ask whether the bot there has another storage. If it has this one, look at its log.",
    "LQB6090": "Reinstall it, or remove it: pip uninstall {name}",
}
"""What to do about each fault. In braces stands what the doctor knows: the bot's file, its address, ...."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: What was looked at, in a word or two.
        what: What was found, with the values.
        code: Of the fault; None when there is none.
        fix: What to do; empty when there is nothing.
    """

    check: str
    status: Status
    what: str
    code: str | None = None
    fix: str = ""


class Skip(Exception):
    """A check cannot be made, because of what another one has found. Its message says what is missing."""


Check: TypeAlias = Callable[[], Awaitable[Sequence[Finding]]]


class Findings:
    """Makes findings that know the bot's file and address.

    Args:
        facts: What stands in braces in `FAULTS`.
    """

    def __init__(self, **facts: str) -> None:
        self._facts = {"file": "bot.py", "url": "https://your.host"} | facts

    def ok(self, check: str, what: str) -> Finding:
        return Finding(check, "ok", what)

    def warning(self, check: str, code: str, what: str, **facts: str) -> Finding:
        return Finding(check, "warning", what, code, self._fix(code, facts))

    def failure(self, check: str, code: str, what: str, **facts: str) -> Finding:
        return Finding(check, "failure", what, code, self._fix(code, facts))

    def _fix(self, code: str, facts: dict[str, str]) -> str:
        return FAULTS[code].format_map(self._facts | facts)


async def examine(checks: dict[str, Check], *, within_s: float) -> AsyncIterator[Sequence[Finding]]:
    """Make all checks at once, whatever becomes of any of them, and give what they find in their order.

    Args:
        within_s: How long each may take.
    """
    tasks = [asyncio.create_task(_made(name, check, within_s)) for name, check in checks.items()]
    try:
        for task in tasks:
            yield await task
    finally:
        for task in tasks:
            task.cancel()


async def _made(name: str, check: Check, within_s: float) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(within_s):
            return await check()
    except Skip as reason:
        return [Finding(name, "skipped", str(reason))]
    except TimeoutError:
        return [Findings().failure(name, "LQB6000", f"This could not be told within {within_s:g} s.")]
    except LinqbotError as error:
        return [Findings().failure(name, "LQB6000", f"{error} [{error.lqb}]")]
    except Exception as error:  # noqa: BLE001 - one check that breaks must not hide what the others find
        return [Findings().failure(name, "LQB6000", f"The check itself failed with {type(error).__name__}.")]
