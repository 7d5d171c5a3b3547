"""Every fault that `linqbot doctor` can name, by its code: what it means, why it comes, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_UNKNOWN: Final = {
    "file": "bot.py",
    "url": "https://your.host",
    "secret_file": ".linqbot/webhook-secret",
    "name": "NAME",
}


@dataclass(frozen=True, slots=True)
class DoctorCode:
    """What a code means, why it comes, and what to do.

    Attributes:
        to_do: In braces stands what the doctor knows: the bot's file, its address, …; see `fix`.
    """

    means: str
    why: str
    to_do: str

    def fix(self, **facts: str) -> str:
        """What to do, with what is known; what is not stands as an example."""
        return self.to_do.format_map(_UNKNOWN | facts)


CODES: Final[dict[str, DoctorCode]] = {
    "LQB6000": DoctorCode(
        "A check of the doctor's could not be made.",
        "It took too long, or met something that nobody has foreseen. The other checks were made all the same.",
        "Look at what it says. If it looks like a mistake of linqbot's, please report it with this code.",
    ),
    "LQB6001": DoctorCode(
        "A setting cannot be read.",
        "An environment variable or a line of linqbot.toml does not fit, or has a name that is no setting's.",
        "Correct it. Every setting is explained by: linqbot serve --help",
    ),
    "LQB6002": DoctorCode(
        "The bot's file cannot be loaded.",
        "Importing it raised, there is no such file, or no Bot in it. Which events it handles is not known then.",
        "Correct the bot: linqbot dev {file} shows the whole error.",
    ),
    "LQB6010": DoctorCode(
        "There is no API token, so nothing can be sent, and Linq cannot be asked.",
        "LINQ_API_V3_API_KEY is not set where the doctor was called; a .env file is read by nobody but uv or your"
        " shell.",
        "Set LINQ_API_V3_API_KEY to the API token from your Linq dashboard.",
    ),
    "LQB6011": DoctorCode(
        "Linq does not accept the API token.",
        "It is misspelt, has been deleted or has expired, or is that of another base URL, such as an emulator's.",
        "Copy the token again from your Linq dashboard into LINQ_API_V3_API_KEY; it may have been deleted or expired.",
    ),
    "LQB6012": DoctorCode(
        "Linq's API cannot be reached.",
        "Linq is down, the base URL is another, or something between refuses the way out.",
        "Look at LINQ_API_V3_BASE_URL, and at whether this machine may reach it: name service, firewall, HTTPS_PROXY.",
    ),
    "LQB6013": DoctorCode(
        "Linq refuses to say what the account has.",
        "The account may not ask for it, or Linq fails.",
        "Look at the code in Linq's documents, and ask Linq's support with the trace id.",
    ),
    "LQB6014": DoctorCode(
        "The API token and all messages travel unencrypted to another machine.",
        "The base URL begins with http:// and its host is not this machine. Everyone on the way can read the token, use"
        " it, and read or change what is said.",
        "Use https:// in LINQ_API_V3_BASE_URL, and make a new token if this one was used. An emulator on another machine"
        " needs no real token: give it any.",
    ),
    "LQB6020": DoctorCode(
        "The account has no line, so nobody can write to the bot.",
        "The token is that of an environment without lines, or the last one was released.",
        "Ask Linq for a line, or use the token of the environment that has one.",
    ),
    "LQB6021": DoctorCode(
        "The networks think badly of a line, and are about to stop it.",
        "People did not answer, opted out, or reported what was sent from it.",
        "Stop writing to people who do not answer, and see what weighs on the line: "
        "client.phone_numbers.start_reputation_audit(line)",
    ),
    "LQB6022": DoctorCode(
        "The networks begin to think badly of a line.",
        "Volume or answers have changed for the worse lately.",
        "Slow down, and see what weighs on the line: client.phone_numbers.start_reputation_audit(line)",
    ),
    "LQB6023": DoctorCode(
        "A line can receive and not send: it is flagged.",
        "Linq or the networks stopped it, usually after its reputation was critical for a while.",
        "It cannot send until Linq trusts it again: send from another line, and ask Linq's support.",
    ),
    "LQB6030": DoctorCode(
        "Linq delivers nothing here: there is no subscription.",
        "It was never made, was deleted, or delivers to another address than the one asked about.",
        "Subscribe: linqbot webhooks sync {file} --url {url}",
    ),
    "LQB6031": DoctorCode(
        "The subscription is paused.",
        "Somebody has paused it; or a rotation was made of a paused one.",
        "Linq sends nothing to it. Resume it: linqbot webhooks sync {file} --url {url}",
    ),
    "LQB6032": DoctorCode(
        "The bot handles events that are not subscribed.",
        "The bot has learned to handle them since it was subscribed.",
        "These handlers never run. Subscribe to them: linqbot webhooks sync {file} --url {url}",
    ),
    "LQB6033": DoctorCode(
        "Events are subscribed that nobody handles.",
        "The bot has forgotten how to handle them, or somebody subscribed more than it needs.",
        "They cost a delivery each and nobody looks. Leave them out: linqbot webhooks sync {file} --url {url}",
    ),
    "LQB6034": DoctorCode(
        "The subscription does not pin the payload version that linqbot wants; some events do not exist in older ones.",
        "It was made without ?version= in its address, or by something that reads older payloads.",
        "Pin the version that linqbot wants: linqbot webhooks sync {file} --url {url}",
    ),
    "LQB6035": DoctorCode(
        "Several subscriptions deliver to one address.",
        "A rotation has not been ended, or somebody subscribed the same address by hand.",
        "Every event comes twice, and once is handled. Finish the rotation (linqbot webhooks rotate), or delete "
        "one: linqbot webhooks delete ID",
    ),
    "LQB6036": DoctorCode(
        "The subscription delivers events of some lines only.",
        "It was made with --line, and the account has further lines.",
        "Nothing of the account's other lines arrives. If it should: linqbot webhooks sync {file} --url {url} "
        "--all-lines",
    ),
    "LQB6040": DoctorCode(
        "There is no signing secret, so no delivery could be verified, and linqbot serve does not start.",
        "The bot has not been subscribed from this folder, or its secret is kept elsewhere.",
        "Subscribe, which keeps it: linqbot webhooks sync {file} --url {url}; or set LINQ_WEBHOOK_SECRET.",
    ),
    "LQB6041": DoctorCode(
        "The signing secrets here are those of other subscriptions.",
        "The subscription was made elsewhere or by hand, and its secret stayed there.",
        "Linq shows a secret only once. Make a new one: linqbot webhooks rotate --url {url}",
    ),
    "LQB6042": DoctorCode(
        "There is a signing secret, and whether it is the subscription's cannot be seen.",
        "It was put here by hand, and no delivery has been accepted with it yet.",
        "Linq does not tell. If deliveries are refused (delivery.forged in the log), make a new one: linqbot "
        "webhooks rotate --url {url}",
    ),
    "LQB6043": DoctorCode(
        "Others on this machine can read the signing secret, and so sign deliveries.",
        "It was written or mounted with wider rights than its owner's.",
        "Let its owner alone read it: chmod 600 {secret_file}",
    ),
    "LQB6044": DoctorCode(
        "The signing secrets cannot be read.",
        "Its rights are another user's, or it was changed by hand and holds what is no secret.",
        "Correct it. Or move it away, and make a new secret: linqbot webhooks rotate --url {url}",
    ),
    "LQB6050": DoctorCode(
        "A clock is so far off that signed times are refused.",
        "Signatures carry their time, and 300 s off is the most that is accepted, so that nobody can send old "
        "ones again.",
        "Deliveries this far off are refused. Set the clock: timedatectl set-ntp true",
    ),
    "LQB6051": DoctorCode(
        "This machine's clock is off.",
        "Nothing keeps it right, or a suspended machine has just come back.",
        "From 300 s on deliveries are refused. Set the clock: timedatectl set-ntp true",
    ),
    "LQB6060": DoctorCode(
        "Nobody answers at the public address.",
        "The bot is not served, the proxy or tunnel leads elsewhere, or the name or a firewall does not lead here.",
        "Start the bot (linqbot serve {file}) and look at the proxy, the tunnel, the name service and the firewall.",
    ),
    "LQB6061": DoctorCode(
        "The public address has no valid certificate.",
        "It has ended, is for another name, is signed by nobody known, or comes without the certificates between.",
        "Linq does not deliver to it. Renew the certificate, and serve the whole chain for this very name.",
    ),
    "LQB6062": DoctorCode(
        "The public address sends callers on to another.",
        "It leads from http to https, to www, or to a page for signing in; a delivery does not follow.",
        "Linq does not deliver there. Subscribe the address it leads to: linqbot webhooks sync {file} --url …",
    ),
    "LQB6063": DoctorCode(
        "There is no webhook at the public address.",
        "The path is another, or the proxy takes a part of it off.",
        "The bot's webhook is at /webhooks/linq. Let the proxy pass this path on, unchanged.",
    ),
    "LQB6064": DoctorCode(
        "Something before the bot refuses those who do not say who they are.",
        "A password, a list of addresses, or a check for robots stands there; Linq passes none of them.",
        "What stands before the bot wants to know who calls. Let POSTs to this path through: linqbot checks their"
        " signature.",
    ),
    "LQB6065": DoctorCode(
        "The certificate of the public address ends soon.",
        "Certificates are renewed weeks before their end; this one was not.",
        "Renew it, or look at why that is not done by itself.",
    ),
    "LQB6066": DoctorCode(
        "What answers at the public address is not the bot, or is broken.",
        "A proxy cannot reach the bot, or another program answers in its place.",
        "Look at the bot's log, and at the log of what stands before it.",
    ),
    "LQB6067": DoctorCode(
        "The public address takes what nobody has signed.",
        "Another program answers everything with 200 there, so that deliveries would be lost in it.",
        "This is not linqbot, which checks every signature. Let the address lead to: linqbot serve {file}",
    ),
    "LQB6070": DoctorCode(
        "The bot at the public address has another signing secret.",
        "It was started with other settings, reads another file, or was subscribed anew elsewhere.",
        "Give both the same: the bot at this address reads LINQ_WEBHOOK_SECRET and LINQ_WEBHOOK_SECRET_FILE where"
        " it runs. Or make a new one: linqbot webhooks rotate --url {url}",
    ),
    "LQB6071": DoctorCode(
        "A proxy takes the headers off that deliveries are verified by.",
        "It passes on only headers it knows, or has a list that they are missing from.",
        "Let the proxy pass on the headers webhook-id, webhook-timestamp and webhook-signature.",
    ),
    "LQB6072": DoctorCode(
        "A proxy changes the body, so that its signature fits no longer.",
        "It reads and writes JSON anew, trims, or changes the encoding. Signatures are of the very bytes.",
        "Let the proxy pass on the body byte for byte: no re-written JSON, no inspection that changes it.",
    ),
    "LQB6073": DoctorCode(
        "The bot is there and cannot take deliveries now.",
        "Its disk or backlog is full, it is starting or stopping, or its clock and this one differ.",
        "Linq will try again, for half an hour. The bot's log says why: storage, overload, or its clock.",
    ),
    "LQB6074": DoctorCode(
        "Everybody is believed to be a proxy.",
        "LINQBOT_TRUSTED_PROXIES names every address, so that anybody may say who they are.",
        "Name the proxies only: addresses or networks, such as 10.0.0.0/8, in LINQBOT_TRUSTED_PROXIES.",
    ),
    "LQB6080": DoctorCode(
        "The storage cannot be written.",
        "The disk is read-only or full, or the folder and the file are another user's.",
        "Let the user who serves write into the folder of LINQBOT_STORAGE, or choose another.",
    ),
    "LQB6081": DoctorCode(
        "A newer linqbot has written the storage.",
        "Somebody went back to an older linqbot, or two releases share a file.",
        "Upgrade linqbot, or use another storage file: LINQBOT_STORAGE",
    ),
    "LQB6082": DoctorCode(
        "The disk is almost full.",
        "Something else fills it, or history is kept for long.",
        "Make room: a full disk means 503 for every delivery.",
    ),
    "LQB6083": DoctorCode(
        "The storage is in memory.",
        "LINQBOT_STORAGE is memory://, which is for tests: whatever waits when the process ends is lost.",
        "Set LINQBOT_STORAGE to a file, such as sqlite:///linqbot.db.",
    ),
    "LQB6084": DoctorCode(
        "The storage cannot be what LINQBOT_STORAGE says.",
        "It is no URL of a storage there is, or names a folder or another program's file.",
        "Correct LINQBOT_STORAGE. It is a URL such as sqlite:///linqbot.db.",
    ),
    "LQB6085": DoctorCode(
        "Deliveries have given up: their handler failed again and again.",
        "Their handlers failed on every attempt, or killed the process.",
        "Look at them: linqbot inbox dead. Then: linqbot inbox retry, or purge.",
    ),
    "LQB6086": DoctorCode(
        "What the bot took is not in the storage here.",
        "The address leads to another bot, or to this one on another machine or with another LINQBOT_STORAGE.",
        "Ask whether the bot there has another storage. If it has this one, look at its log.",
    ),
    "LQB6090": DoctorCode(
        "An installed plugin cannot be loaded.",
        "It was made for another release, or something it needs is not installed.",
        "Reinstall it, or remove it: pip uninstall {name}",
    ),
}
