"""Two accounts as docs/lines.md serves them: two processes of one bot file, behind one Caddy with a path for each."""

from __future__ import annotations

import re
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from crash import SECRET
from deploy.tools import DEPLOY, tool
from patience import PATIENCE_S, until
from ports import free_port
from served_bot import NOTES, message, noted, post, serving

from deploy import proxies

PAGE = (DEPLOY.parent / "docs" / "lines.md").read_text()
OTHER_SECRET = "whsec_HyAdHhscGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE="


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.tools
async def test_each_account_has_its_path_its_secret_and_its_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool("caddy", get=proxies.GET["caddy"])
    (tmp_path / "bot.py").write_text(NOTES)
    ports = {"8001": free_port(), "8002": free_port()}
    (routes,) = re.findall(r"```caddyfile\n(.*?)```", PAGE, re.DOTALL)
    for named, free in ports.items():
        routes = routes.replace(f"127.0.0.1:{named}", f"127.0.0.1:{free}")
    shipped = (DEPLOY / "caddy" / "Caddyfile").read_text()
    shutil.copytree(DEPLOY / "caddy", tmp_path / "caddy")
    (tmp_path / "caddy" / "Caddyfile").write_text(shipped.replace("\thandle /webhooks", f"{routes}\thandle /webhooks"))
    monkeypatch.setattr(proxies, "DEPLOY", tmp_path)
    accounts = {"acme": (ports["8001"], SECRET), "zest": (ports["8002"], OTHER_SECRET)}
    async with AsyncExitStack() as stack:
        for name, (port, secret) in accounts.items():
            folder = tmp_path / name
            folder.mkdir()
            linq = {"LINQ_API_V3_API_KEY": name, "LINQ_WEBHOOK_SECRET": secret, "LINQBOT_PORT": str(port)}
            await stack.enter_async_context(serving(folder, "serve", "../bot.py", port=port, **linq))
        proxy = stack.enter_context(proxies.caddy(tmp_path / "run", "127.0.0.1:1"))
        linq_side = await stack.enter_async_context(httpx.AsyncClient(verify=proxy.trust, timeout=PATIENCE_S))
        for name in accounts:
            for signer, (_, secret) in accounts.items():
                body = message(f"{signer}-to-{name}")
                answer = await post(linq_side, f"{proxy.url}/{name}", body, secret=secret)
                assert answer.status_code == (200 if signer == name else 401), (name, signer)
        await until(lambda: all(noted(tmp_path / name) for name in accounts), every_s=0.05)
    for name in accounts:
        assert [word for _, word in noted(tmp_path / name)] == [f"{name}-to-{name}"]
        assert (tmp_path / name / "linqbot.db").exists()
