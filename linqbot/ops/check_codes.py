"""The problems that only `linqbot check` finds, by their codes: what each means, its causes, what to do about it.

A problem that other commands meet too, such as a missing secret, is an error with a code of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from linqbot.linq.rules.message import OFFER_OTHERS

_EXAMPLES: Final = {
    "file": "bot.py",
    "url": "https://your.host",
    "secret_file": ".linqbot/webhook-secret",
    "storage_file": "linqbot.db",
    "name": "NAME",
}


@dataclass(frozen=True, slots=True)
class DoctorCode:
    means: str  # the problem, in one sentence
    why: str  # its possible causes
    # How to fix it: a template for `fix`. Names in braces stand for facts that the doctor may know: the bot's file, its
    # address, ….
    to_do: str

    def fix(self, **facts: str) -> str:
        """Return `to_do` with the facts filled in, and with an example for each fact that is not given."""
        return self.to_do.format_map(_EXAMPLES | facts)


CODES: Final[dict[str, DoctorCode]] = {
    "LQB6000": DoctorCode(
        "A check could not be completed.",
        "It took too long, or an unexpected error came up. The other checks were still made.",
        "Read the message. If this looks like a bug in linqbot, please report it with this code.",
    ),
    "LQB6014": DoctorCode(
        "The API token and all messages travel unencrypted to another machine.",
        "The base URL begins with http:// and its host is not this machine. Everyone on the network path can read and"
        " use the token, and can read or change messages.",
        "Use https:// in LINQ_API_V3_BASE_URL. If this token was used, make a new one. An emulator on another machine"
        " needs no real token: any text will do.",
    ),
    "LQB6020": DoctorCode(
        "The account has no line, so people cannot write to the bot.",
        "The token belongs to an environment without lines, or the last line was released.",
        "Ask Linq for a line, or use the token of the environment that has one.",
    ),
    "LQB6022": DoctorCode(
        "The reputation of a line is at risk, or critical: then the carriers are about to flag it.",
        "People did not answer messages from it, opted out, or reported them.",
        "Send less, and nothing to people who do not answer. To see what harms the line's reputation:"
        " client.phone_numbers.start_reputation_audit(line)",
    ),
    "LQB6023": DoctorCode(
        "A line can receive but not send: it is flagged.",
        "Linq or the carriers stopped it, usually after its reputation was critical for a while.",
        "Send from another line, and ask Linq's support: this line cannot send until Linq trusts it again.",
    ),
    "LQB6024": DoctorCode(
        "LINQBOT_LINES has a number that is no line of the account.",
        "The number is misspelt, the line was released, or the token belongs to another environment.",
        "Correct LINQBOT_LINES: after a long downtime, the missed messages of these lines only are fetched.",
    ),
    "LQB6030": DoctorCode(
        "Linq delivers nothing here: there is no subscription.",
        "The subscription was never made, was deleted, or delivers to another address than the one checked.",
        "Subscribe: linqbot connect sync {file} --url {url}",
    ),
    "LQB6031": DoctorCode(
        "The subscription is paused.",
        "Someone paused it, or it replaced a paused one in a rotation.",
        "Linq sends nothing to it. Resume it: linqbot connect sync {file} --url {url}",
    ),
    "LQB6032": DoctorCode(
        "The bot handles events that it is not subscribed to.",
        "The bot got new handlers after it was subscribed.",
        "These handlers never run. Subscribe to their events: linqbot connect sync {file} --url {url}",
    ),
    "LQB6034": DoctorCode(
        "The subscription does not pin the payload version that linqbot needs; older versions lack some events.",
        "It was made without ?version= in its address, or by a program that reads older payloads.",
        "Pin the version that linqbot needs: linqbot connect sync {file} --url {url}",
    ),
    "LQB6037": DoctorCode(
        "The bot has subscriptions to several addresses.",
        "The bot has moved to another address, and the subscription to the old one is still there.",
        "Linq delivers every event to each of them. If the bot has moved, delete the subscription to the old address:"
        " linqbot connect remove ID",
    ),
    "LQB6036": DoctorCode(
        "The subscription delivers the events of some lines only.",
        "It was made with --line, and the account has more lines.",
        "Events of the account's other lines do not arrive. If they should: linqbot connect sync {file} --url {url}"
        " --all-lines",
    ),
    "LQB6041": DoctorCode(
        "The signing secrets here belong to other subscriptions.",
        "The subscription was made elsewhere or by hand, and its secret was stored there.",
        "Linq shows a secret only once. Make a new one: linqbot connect rotate --url {url}",
    ),
    "LQB6042": DoctorCode(
        "There is a signing secret, but linqbot cannot tell if it belongs to the subscription.",
        "It was set by hand, and no delivery has been accepted with it yet.",
        "Linq does not say which secret it uses. If deliveries are refused (delivery.forged in the log), make a new"
        " one: linqbot connect rotate --url {url}",
    ),
    "LQB6043": DoctorCode(
        "Other users of this machine can read the signing secret, and so sign deliveries.",
        "The file was written or mounted with permissions for more than its owner.",
        "Let only its owner read it: chmod 600 {secret_file}",
    ),
    "LQB6045": DoctorCode(
        "The bot refuses Linq's deliveries: the signing secret that is stored here is not the subscription's.",
        "The secret file or LINQ_WEBHOOK_SECRET was changed by hand, or restored from an older copy. The test event"
        " of linqbot check is accepted, because it is signed with the same wrong secret.",
        "Every delivery is lost: Linq does not retry after a refusal. Make a new secret: linqbot connect rotate --url"
        " {url}",
    ),
    "LQB6046": DoctorCode(
        "The bot refused requests whose signatures do not match its secrets, and has accepted no delivery since.",
        "The requests may come from strangers. Or they are Linq's deliveries, and the secret that is stored here is"
        " wrong.",
        "Send the bot a message. If it does not answer, make a new secret: linqbot connect rotate",
    ),
    "LQB6050": DoctorCode(
        "A clock is so far off that signatures are refused.",
        "Each signature includes the time. linqbot accepts a difference of 300 s at most, so that old"
        " deliveries cannot be sent again.",
        "Deliveries are refused while the clock is this far off. Set the clock: timedatectl set-ntp true",
    ),
    "LQB6060": DoctorCode(
        "There is no response at the public address.",
        "The bot is not running, the proxy or tunnel points elsewhere, or DNS or a firewall does not lead to this"
        " machine.",
        "Start the bot (linqbot serve {file}), and check the proxy, the tunnel, DNS and the firewall.",
    ),
    "LQB6061": DoctorCode(
        "The public address has no valid certificate.",
        "The certificate has expired, is for another name, is served without its intermediate certificates, or is signed"
        " by a private authority, such as a proxy's own. A company's proxy that inspects outgoing traffic has the same"
        " effect: then check from another network.",
        "Linq does not deliver to it. Get a certificate of a public authority for exactly this name, and serve it with"
        " the whole chain.",
    ),
    "LQB6062": DoctorCode(
        "The public address redirects to another one.",
        "It redirects from http to https, to www, or to a sign-in page. Deliveries do not follow redirects.",
        "Linq does not deliver there. Subscribe the address that it redirects to: linqbot connect sync {file} --url …",
    ),
    "LQB6063": DoctorCode(
        "There is no webhook at the public address.",
        "The path is wrong, or the proxy removes part of it.",
        "The bot's webhook is at /webhooks/linq. Let the proxy pass this path on unchanged.",
    ),
    "LQB6064": DoctorCode(
        "A proxy or firewall in front of the bot asks callers to authenticate.",
        "It wants a password, allows only listed addresses, or blocks robots; Linq passes none of these checks.",
        "Let POST requests to this path through without authentication: linqbot verifies their signatures.",
    ),
    "LQB6065": DoctorCode(
        "The certificate of the public address expires soon.",
        "Certificates are usually renewed weeks before they expire; this one was not.",
        "Renew it, or find out why automatic renewal failed.",
    ),
    "LQB6066": DoctorCode(
        "The server at the public address is not the bot, or is broken.",
        "A proxy cannot reach the bot, or another program answers in its place.",
        "Look at the bot's log, and at the log of the proxy in front of it.",
    ),
    "LQB6067": DoctorCode(
        "The public address accepts requests without a valid signature.",
        "Another program there answers every request with 200, so deliveries would be lost.",
        "This is not linqbot, which verifies every signature. Let the address lead to: linqbot serve {file}",
    ),
    "LQB6070": DoctorCode(
        "The bot at the public address has another signing secret.",
        "It was started with other settings, reads another file, or was subscribed again from elsewhere.",
        "Use the same secret in both places: the bot at this address reads LINQ_WEBHOOK_SECRET and"
        " LINQ_WEBHOOK_SECRET_FILE where it runs. Or make a new one: linqbot connect rotate --url {url}",
    ),
    "LQB6071": DoctorCode(
        "A proxy removes the headers that deliveries are verified by.",
        "It passes on only the headers on a list, and these are missing from it.",
        "Let the proxy pass on the headers webhook-id, webhook-timestamp and webhook-signature.",
    ),
    "LQB6072": DoctorCode(
        "A proxy changes the body, so its signature no longer matches.",
        "It parses and rewrites JSON, trims white space, or changes the encoding. A signature covers the exact bytes.",
        "Let the proxy pass on the body byte for byte: no rewritten JSON, no inspection that changes it.",
    ),
    "LQB6073": DoctorCode(
        "The bot answers, but cannot accept deliveries now.",
        "Its disk or its backlog is full, it is starting or stopping, or its clock differs from this machine's.",
        "Linq retries for half an hour. The bot's log gives the reason: storage, overload, or its clock.",
    ),
    "LQB6082": DoctorCode(
        "The disk is full, or almost.",
        "Another program fills it, or history is kept for a long time.",
        "Make room: with a full disk the bot answers every delivery with 503.",
    ),
    "LQB6083": DoctorCode(
        "The storage is in memory.",
        "LINQBOT_STORAGE is memory://, which is for tests: when the process ends, waiting deliveries are lost.",
        "Set LINQBOT_STORAGE to a file, such as sqlite:///linqbot.db, or to a PostgreSQL database.",
    ),
    "LQB6084": DoctorCode(
        "Every user of this machine can read the storage file, and so what people wrote.",
        "It was copied or restored with permissions for all, as cp and scp do; linqbot serve may not change those of another user's file.",
        "Let only its owner read it: chmod 600 {storage_file}. linqbot serve does that when it starts; for a program of another user, such as a"
        " backup, give the file a group: chmod 640.",
    ),
    "LQB6085": DoctorCode(
        "There are dead letters: deliveries that the bot gave up on.",
        "Their handlers failed on every attempt, or crashed the process.",
        "Look at them: linqbot waiting list --dead. Then: linqbot waiting retry, or linqbot storage purge.",
    ),
    "LQB6087": DoctorCode(
        "People were asked questions that the bot's code cannot continue, because it has no such handler any more.",
        "A handler that had asked with ctx.ask was renamed, moved to another module, or deleted.",
        "Let the bot have a handler of this name again. Or end the questions: linqbot waiting list --questions --handler NAME, then"
        " linqbot waiting cancel ID. Otherwise the next message of each person is handled as if no question were open.",
    ),
    "LQB6089": DoctorCode(
        "The storage file is gone while a process serves it.",
        "It was moved, renamed or deleted. The process still has it open, and answers Linq with 503.",
        "Do not stop the process: it has the only copy. Put the file back, or rescue it as docs/storage.md says.",
    ),
    "LQB6090": DoctorCode(
        "A plugin cannot be loaded.",
        "It was made for another release, one of its dependencies is not installed, or one of its own settings is wrong.",
        "Do what the message says. If it says nothing to do, reinstall the plugin, or remove it: pip uninstall {name}."
        " If the bot's own code brings it, correct that code.",
    ),
    "LQB6092": DoctorCode(
        "The bot uses a word by which people opt out.",
        "The whole text that a handler takes is one of Linq's words for opting out.",
        OFFER_OTHERS,
    ),
    "LQB6093": DoctorCode(
        "Rows of the storage are damaged, or their schema is old.",
        "A disk or a copy has failed, another program has changed the rows, or an older release of linqbot has written them.",
        "For an old schema: linqbot storage migrate. Otherwise serve the latest backup, and keep the damaged storage.",
    ),
    "LQB6094": DoctorCode(
        "Nothing can tell you that the line or the API key is broken.",
        "LINQBOT_TELL names only texts, which go over a line and with the key.",
        "Add an e-mail or a webhook to LINQBOT_TELL: mailto:… with LINQBOT_SMTP_URL, or https://…",
    ),
}
