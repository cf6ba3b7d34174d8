"""`wrapd completion`: the script that lets a shell complete wrapd's commands and options.

The completions themselves come from the program, which the shell calls each time. Never reads the config.
"""

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_WRAPD_COMPLETE"
"""The environment variable that marks a call by a shell; click derives it from the command's name."""


@click.command("completion", short_help="Print a Tab completion script: bash, zsh, fish.")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script that lets the Tab key complete commands, options and their choices.

    In bash, `source <(wrapd completion bash)` enables it in the current shell. To enable it permanently, write it
    to ~/.local/share/bash-completion/completions/wrapd for bash, to _wrapd in a folder of the fpath for zsh, or to
    ~/.config/fish/completions/wrapd.fish for fish.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "wrapd", _VARIABLE).source())
