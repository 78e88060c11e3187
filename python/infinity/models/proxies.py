"""One rule for the proxies of all providers: the environment's ``https_proxy``, ``http_proxy``,
``all_proxy`` and ``no_proxy``.
"""

from __future__ import annotations

import importlib.util
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from infinity.errors import ConfigError

__all__ = ["proxy_of"]


def proxy_of(url: str, *, socks: str | None = None) -> str | None:
    """The proxy for an address, looked up once; ``None`` if there is none.

    Args:
        url: of the provider's API.
        socks: the package with which this provider can use a SOCKS proxy; ``None``: it cannot.

    Raises:
        ConfigError: the environment names a proxy that cannot be used.
    """
    parts = urlsplit(url)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None:
        return None
    # Without a scheme an HTTP proxy is meant, as curl has it.
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    scheme = urlsplit(proxy).scheme
    if scheme in ("http", "https"):
        return proxy
    name = f"the proxy for {parts.scheme}://{parts.hostname} ({parts.scheme}_proxy or all_proxy) is of the kind {scheme!r}"
    if not scheme.startswith("socks") or socks is None:
        raise ConfigError(
            f"{name}, which this provider cannot use; name an http proxy, or exclude the host in no_proxy"
        )
    if importlib.util.find_spec(socks) is None:
        raise ConfigError(f"{name}, which needs the package {socks}: pip install {socks}")
    return proxy
