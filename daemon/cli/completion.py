"""`wrapd completion`: what a shell needs to complete wrapd's commands and options at the Tab key.

Owns nothing of what is completed: the shell asks the program itself each time. Must never read the config.
"""

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_WRAPD_COMPLETE"
"""By this in its environment `wrapd` knows that a shell asks; click derives it from the command's name."""


@click.command("completion", short_help="Print a script for the Tab key: bash, zsh, fish.")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script that makes the Tab key complete commands, options and their choices.

    In bash, `source <(wrapd completion bash)` is enough for one shell. To have it in each, write it to
    ~/.local/share/bash-completion/completions/wrapd; for zsh to _wrapd in a folder of its fpath; for fish to
    ~/.config/fish/completions/wrapd.fish.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "wrapd", _VARIABLE).source())
