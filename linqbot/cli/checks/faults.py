"""Every fault that `linqbot doctor` can name, by its code: what it means, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Fault:
    """What a code means, and what to do. In braces stands what the doctor knows: the bot's file, its address, …."""

    means: str
    to_do: str


FAULTS: Final[dict[str, Fault]] = {
    "LQB6000": Fault(
        "A check of the doctor's could not be made.",
        "Look at what it says. If it looks like a mistake of linqbot's, please report it with this code.",
    ),
    "LQB6001": Fault(
        "A setting cannot be read.",
        "Correct it. Every setting is explained by: linqbot serve --help",
    ),
    "LQB6002": Fault(
        "The bot's file cannot be loaded.",
        "Correct the bot: linqbot dev {file} shows the whole error.",
    ),
    "LQB6010": Fault(
        "There is no API token, so nothing can be sent, and Linq cannot be asked.",
        "Set LINQ_API_V3_API_KEY to the API token from your Linq dashboard.",
    ),
    "LQB6011": Fault(
        "Linq does not accept the API token.",
        "Copy the token again from your Linq dashboard into LINQ_API_V3_API_KEY; it may have been deleted or expired.",
    ),
    "LQB6012": Fault(
        "Linq's API cannot be reached.",
        "Look at LINQ_API_V3_BASE_URL, and at whether this machine may reach it: name service, firewall, HTTPS_PROXY.",
    ),
    "LQB6013": Fault(
        "Linq refuses to say what the account has.",
        "Look at the code in Linq's documents, and ask Linq's support with the trace id.",
    ),
    "LQB6020": Fault(
        "The account has no line, so nobody can write to the bot.",
        "Ask Linq for a line, or use the token of the environment that has one.",
    ),
    "LQB6021": Fault(
        "The networks think badly of a line, and are about to stop it.",
        "Stop writing to people who do not answer, and see what weighs on the line: "
        "client.phone_numbers.start_reputation_audit(line)",
    ),
    "LQB6022": Fault(
        "The networks begin to think badly of a line.",
        "Slow down, and see what weighs on the line: client.phone_numbers.start_reputation_audit(line)",
    ),
    "LQB6023": Fault(
        "A line can receive and not send: it is flagged.",
        "It cannot send until Linq trusts it again: send from another line, and ask Linq's support.",
    ),
    "LQB6030": Fault(
        "Linq delivers nothing here: there is no subscription.",
        "Subscribe: linqbot webhooks sync {file} --url {url}",
    ),
    "LQB6031": Fault(
        "The subscription is paused.",
        "Linq sends nothing to it. Resume it: linqbot webhooks sync {file} --url {url}",
    ),
    "LQB6032": Fault(
        "The bot handles events that are not subscribed.",
        "These handlers never run. Subscribe to them: linqbot webhooks sync {file} --url {url}",
    ),
    "LQB6033": Fault(
        "Events are subscribed that nobody handles.",
        "They cost a delivery each and nobody looks. Leave them out: linqbot webhooks sync {file} --url {url}",
    ),
    "LQB6034": Fault(
        "The subscription does not pin the payload version that linqbot wants; some events do not exist in older ones.",
        "Pin the version that linqbot wants: linqbot webhooks sync {file} --url {url}",
    ),
    "LQB6035": Fault(
        "Several subscriptions deliver to one address.",
        "Every event comes twice, and once is handled. Finish the rotation (linqbot webhooks rotate), or delete "
        "one: linqbot webhooks delete ID",
    ),
    "LQB6036": Fault(
        "The subscription delivers events of some lines only.",
        "Nothing of the account's other lines arrives. If it should: linqbot webhooks sync {file} --url {url} "
        "--all-lines",
    ),
    "LQB6040": Fault(
        "There is no signing secret, so no delivery could be verified, and linqbot serve does not start.",
        "Subscribe, which keeps it: linqbot webhooks sync {file} --url {url}; or set LINQ_WEBHOOK_SECRET.",
    ),
    "LQB6041": Fault(
        "The signing secrets here are those of other subscriptions.",
        "Linq shows a secret only once. Make a new one: linqbot webhooks rotate --url {url}",
    ),
    "LQB6042": Fault(
        "There is a signing secret, and whether it is the subscription's cannot be seen.",
        "Linq does not tell. If deliveries are refused (delivery.forged in the log), make a new one: linqbot "
        "webhooks rotate --url {url}",
    ),
    "LQB6043": Fault(
        "Others on this machine can read the signing secret, and so sign deliveries.",
        "Let its owner alone read it: chmod 600 {secret_file}",
    ),
    "LQB6044": Fault(
        "The signing secrets cannot be read.",
        "Correct it. Or move it away, and make a new secret: linqbot webhooks rotate --url {url}",
    ),
    "LQB6050": Fault(
        "A clock is so far off that signed times are refused.",
        "Deliveries this far off are refused. Set the clock: timedatectl set-ntp true",
    ),
    "LQB6051": Fault(
        "This machine's clock is off.",
        "From 300 s on deliveries are refused. Set the clock: timedatectl set-ntp true",
    ),
    "LQB6060": Fault(
        "Nobody answers at the public address.",
        "Start the bot (linqbot serve {file}) and look at the proxy, the tunnel, the name service and the firewall.",
    ),
    "LQB6061": Fault(
        "The public address has no valid certificate.",
        "Linq does not deliver to it. Renew the certificate, and serve the whole chain for this very name.",
    ),
    "LQB6062": Fault(
        "The public address sends callers on to another.",
        "Linq does not deliver there. Subscribe the address it leads to: linqbot webhooks sync {file} --url …",
    ),
    "LQB6063": Fault(
        "There is no webhook at the public address.",
        "The bot's webhook is at /webhooks/linq. Let the proxy pass this path on, unchanged.",
    ),
    "LQB6064": Fault(
        "Something before the bot refuses those who do not say who they are.",
        "What stands before the bot wants to know who calls. Let POSTs to this path through: linqbot checks their"
        " signature.",
    ),
    "LQB6065": Fault(
        "The certificate of the public address ends soon.",
        "Renew it, or look at why that is not done by itself.",
    ),
    "LQB6066": Fault(
        "What answers at the public address is not the bot, or is broken.",
        "Look at the bot's log, and at the log of what stands before it.",
    ),
    "LQB6067": Fault(
        "The public address takes what nobody has signed.",
        "This is not linqbot, which checks every signature. Let the address lead to: linqbot serve {file}",
    ),
    "LQB6070": Fault(
        "The bot at the public address has another signing secret.",
        "Give both the same: the bot at this address reads LINQ_WEBHOOK_SECRET and LINQ_WEBHOOK_SECRET_FILE where"
        " it runs. Or make a new one: linqbot webhooks rotate --url {url}",
    ),
    "LQB6071": Fault(
        "A proxy takes the headers off that deliveries are verified by.",
        "Let the proxy pass on the headers webhook-id, webhook-timestamp and webhook-signature.",
    ),
    "LQB6072": Fault(
        "A proxy changes the body, so that its signature fits no longer.",
        "Let the proxy pass on the body byte for byte: no re-written JSON, no inspection that changes it.",
    ),
    "LQB6073": Fault(
        "The bot is there and cannot take deliveries now.",
        "Linq will try again, for half an hour. The bot's log says why: storage, overload, or its clock.",
    ),
    "LQB6074": Fault(
        "Everybody is believed to be a proxy.",
        "Name the proxies only: addresses or networks, such as 10.0.0.0/8, in LINQBOT_TRUSTED_PROXIES.",
    ),
    "LQB6080": Fault(
        "The storage cannot be written.",
        "Let the user who serves write into the folder of LINQBOT_STORAGE, or choose another.",
    ),
    "LQB6081": Fault(
        "A newer linqbot has written the storage.",
        "Upgrade linqbot, or use another storage file: LINQBOT_STORAGE",
    ),
    "LQB6082": Fault(
        "The disk is almost full.",
        "Make room: a full disk means 503 for every delivery.",
    ),
    "LQB6083": Fault(
        "The storage is in memory.",
        "Set LINQBOT_STORAGE to a file, such as sqlite:///linqbot.db.",
    ),
    "LQB6084": Fault(
        "The storage cannot be what LINQBOT_STORAGE says.",
        "Correct LINQBOT_STORAGE. It is a URL such as sqlite:///linqbot.db.",
    ),
    "LQB6085": Fault(
        "Deliveries have given up: their handler failed again and again.",
        "Look at them: linqbot inbox dead. Then: linqbot inbox retry, or purge.",
    ),
    "LQB6086": Fault(
        "What the bot took is not in the storage here.",
        "Ask whether the bot there has another storage. If it has this one, look at its log.",
    ),
    "LQB6090": Fault(
        "An installed plugin cannot be loaded.",
        "Reinstall it, or remove it: pip uninstall {name}",
    ),
}
