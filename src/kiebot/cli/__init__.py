"""
The commands: options, calls, printing.

Each command is in a module of its own and is imported when it is asked for, so that
`kiebot --help` loads click and nothing else. For the same reason those modules import click at the
top and everything else inside their functions.
"""

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

COMMANDS = {
    "chat": ("kiebot.cli.chat:chat", "Talk to kiebot here, in the terminal."),
    "serve": (
        "kiebot.cli.serve:serve",
        "Sell in Telegram: the bot, the worker, and an HTTP server for who watches over them.",
    ),
    "models": ("kiebot.cli.models:models", "List the models, their questions and prices."),
    "stub-kie": (
        "kiebot.cli.stub_kie:stub_kie",
        "Answer as kie.ai does, for development and tests.",
    ),
    "admin": ("kiebot.cli.admin:admin", "Review top-ups, correct wallets, refund jobs."),
    "audit": ("kiebot.cli.audit:audit", "Recompute every wallet and check every rule of money."),
    "doctor": ("kiebot.cli.doctor:doctor", "Check the configuration and what it leads to."),
    "migrate": ("kiebot.cli.migrate:migrate", "Bring the database to the newest schema."),
    "settings": ("kiebot.cli.settings:settings", "Explain every setting, or write .env.example."),
}
"""Where each command is, and what `kiebot --help` says about it."""

YOUNG = 50_000
"""
How many new things there must be before Python looks for what nobody needs any more. Our choice:
at its own 700 it looks 130 times while `chat` is loaded, an eighth of the time that takes.
"""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class Commands(click.Group):
    """A group that loads a command when it is used, and shows an error as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load one command."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A mistyped command is answered with the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1) if args else []
            if not near or "?" in error.format_message():
                raise
            message = error.format_message().rstrip(".")
            raise click.UsageError(f"{message}; did you mean {near[0]!r}?", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """From the table, so that none is loaded."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and end the process with the exit code."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        gc.set_threshold(YOUNG)
        for stream in (sys.stdout, sys.stderr):
            # An old terminal that cannot show a character shows a question mark instead.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        try:
            code = super().main(
                args, prog_name or "kiebot", complete_var, standalone_mode=False, **extra
            )
            sys.stdout.flush()
        except BaseException as error:  # whatever it is, it ends in one line
            code = _report(error)
        sys.exit(code if isinstance(code, int) else 0)


@click.command(
    "kiebot",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings come from the environment and from .env in the working folder. "
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.",
)
@click.version_option(package_name="kiebot", message="%(package)s %(version)s")
def main() -> None:
    """
    Pictures, video, music and texts made by kie.ai's models, paid from a rouble wallet.

    With nothing configured `kiebot chat` is a demonstration that costs nothing.
    """


def _report(error: BaseException) -> int | str | None:
    """Say what went wrong, a line for each problem; the exit code."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case SystemExit():
            return error.code
        case KeyboardInterrupt() | click.Abort():
            return EXIT_INTERRUPTED
        case BrokenPipeError():
            # Whoever read us has enough. Without this Python complains when it closes the stream.
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_FAILED
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message(), err=True)
            return EXIT_USAGE
        case click.ClickException():
            _say(_usage(error))
            return error.exit_code
        case _:
            return _report_failure(error)


def _report_failure(error: BaseException) -> int:
    from kiebot.core import errors

    match error:
        case errors.ConfigError(problems=problems):
            for problem in problems:
                _say(problem)
            return EXIT_USAGE
        case errors.WrongDatabaseError() | errors.SchemaAheadError():
            _say(str(error))
            return EXIT_USAGE
        case errors.KiebotError():
            _say(str(error))
            return EXIT_FAILED
        case _:
            import logging

            log = logging.getLogger("kiebot")
            log.debug("unexpected", exc_info=error)
            hint = "" if log.isEnabledFor(logging.DEBUG) else "; LOG_LEVEL=debug shows where"
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            _say(f"unexpected error: {what}{hint}")
            return EXIT_FAILED


def _usage(error: click.ClickException) -> str:
    message = error.format_message()
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message.rstrip('.')} (see `{error.ctx.command_path} --help`)"
    return message


def _say(problem: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(f"kiebot: {' '.join(problem.split())}", err=True)
