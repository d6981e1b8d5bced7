"""Which Config Server the settings name."""

from __future__ import annotations

import ssl

from pipeline.configserver.folder import Folder
from pipeline.configserver.held import ConfigServer
from pipeline.settings import Settings, WrongSettings, secret_of

FILE = "file:"


def server_of(settings: Settings) -> ConfigServer | None:
    """None: config.server is `none`. Raises WrongSettings."""
    config = settings.config
    if config.server == "none":
        return None
    if config.server.startswith(FILE):
        folder = (settings.stack.data / config.server.removeprefix(FILE)).absolute()
        # The folder that nobody has named is part of the data folder, and made when it is needed; another one must be there.
        return Folder(folder, config.application, optional="server" not in config.model_fields_set)
    from pipeline.configserver.etcd import Access, Etcd  # its client takes a moment to load

    scheme, _, hosts = config.server.partition("://")
    secure = scheme == "etcds"
    access = Access(
        [f"{'https' if secure else 'http'}://{host}" for host in hosts.split(",")],
        config.user,
        secret_of(config.password, config.password_file, "config.password_file") if config.user else "",
        _tls(settings) if secure else None,
        config.timeout,
    )
    return Etcd(config.server, access, config.application)


def _tls(settings: Settings) -> ssl.SSLContext:
    config = settings.config
    try:
        made = ssl.create_default_context(cafile=config.ca_file)
    except OSError as exc:
        raise WrongSettings(f"setting config.ca_file is {config.ca_file}: {exc.strerror or exc}") from None
    if config.cert_file is not None:
        try:
            made.load_cert_chain(config.cert_file, config.key_file)
        except OSError as exc:  # ssl's own errors are such, too
            raise WrongSettings(
                f"settings config.cert_file and config.key_file are {config.cert_file} and {config.key_file}: {exc.strerror or exc}"
            ) from None
    return made
