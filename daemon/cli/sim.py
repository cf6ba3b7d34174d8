"""`wrapd sim`: runs the simulator as a server, to try wrapd or any other API client without a cloud."""

import asyncio

import click

from daemon.cli.numbers import Factor
from daemon.config.values import Listen
from daemon.config.values import listen as read_listen
from daemon.domain.hosts import is_loopback


class Address(click.ParamType[Listen]):
    """HOST:PORT on this machine."""

    name = "host:port"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Listen:
        try:
            address = read_listen(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not is_loopback(address.host):
            self.fail(
                f'{address.host} is reachable from other machines; write "127.0.0.1:{address.port}"', param, ctx
            )
        return address


@click.command("sim")
@click.option("--listen", type=Address(), default="127.0.0.1:0", show_default=True, help="Port 0: any free port.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same jobs and keys.")
@click.option("--speed", type=Factor(), default=1.0, show_default=True, help="A multiple of real time.")
@click.option("--access-key", help="Generated and printed if not given.")
@click.option("--secret-key", help="Generated and printed if not given.")
@click.option("--project-id", help="Generated and printed if not given.")
@click.option("--token", help="Generated and printed if not given.")
def command(
    *,
    listen: Listen,
    seed: int,
    speed: float,
    access_key: str | None,
    secret_key: str | None,
    project_id: str | None,
    token: str | None,
) -> None:
    """Serve a simulated MetaStudio until Ctrl-C.

    It offers both queries, list, create, cancel, asset details and IAM, checks signatures and tokens, and injects
    faults on request. See docs/simulator.md.
    """
    from daemon.sim import SimSettings, serve  # noqa: PLC0415 - slow to import

    settings = SimSettings(
        listen_host=listen.host,
        port=listen.port,
        seed=seed,
        speed=speed,
        access_key=access_key,
        secret_key=secret_key,
        project_id=project_id,
        token=token,
    )
    asyncio.run(serve(settings, announce=click.echo))
