"""A frontend of one's own: people meet kiebot on a TCP connection, a line at a time."""

import asyncio
import os
from asyncio import StreamReader, StreamWriter
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import kiebot
from kiebot import Button, Conversation, Language, MediaError, Money, Press, Say, Screen, UserId


class LineFrontend:
    """`/2` presses the second button, all else is said. Results become files in a folder."""

    def __init__(self, conversation: Conversation, port: int, folder: str = "results") -> None:
        self.conversation, self.port, self.folder = conversation, port, folder
        self.here: dict[UserId, StreamWriter] = {}
        self.buttons: dict[UserId, dict[str, Button]] = {}

    async def run(self) -> None:
        server = await asyncio.start_server(self.meet, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        print("people are met at port", self.port, flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()

    async def meet(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            writer.write(b"Your number and your name?\n")
            number, _, name = (await reader.readline()).decode().strip().partition(" ")
            user_id = UserId(int(number))  # where it matters, ask for a proof
            if not 0 < user_id < 10**15:
                return
            await self.conversation.meet(user_id, name, Language.EN)
            self.here[user_id], line = writer, "/menu"
            while line:
                button = self.buttons.get(user_id, {}).get(line.strip())
                did = Press(button.action) if button else Say(line.strip())
                screen = await self.conversation.handle(user_id, did)
                self.buttons[user_id] = {}
                await self.draw(user_id, screen)
                line = (await reader.readline()).decode(errors="replace")
        except (ValueError, ConnectionError, kiebot.KiebotError) as error:
            print("a connection ended:", error)
        finally:
            self.here = {who: other for who, other in self.here.items() if other is not writer}
            writer.close()

    async def draw(self, user_id: UserId, screen: Screen) -> None:
        lines = ["", screen.text]
        for media in screen.media:
            with suppress(MediaError):  # what cannot be read now is in the history
                async with self.conversation.open_media(media) as file:
                    path = Path(self.folder, media.name + Path(file.name).suffix)
                    path.parent.mkdir(exist_ok=True)
                    content = b"".join([chunk async for chunk in file.chunks()])
                    await asyncio.to_thread(path.write_bytes, content)
                    lines.append(str(path))
        buttons = self.buttons[user_id]
        for number, button in enumerate(screen.actions, len(buttons) + 1):
            buttons[f"/{number}"] = button
            lines.append(f"  /{number}  {button.label}")
        shown = "".join(char for char in "\n".join(lines) if char.isprintable() or char == "\n")
        self.here[user_id].write(f"{shown}\n".encode())
        await self.here[user_id].drain()

    async def show(self, user_id: UserId, screen: Screen) -> None:
        try:
            await self.draw(user_id, screen)
        except (KeyError, ConnectionError) as gone:
            raise kiebot.FrontendUnavailableError("not connected", retry_s=1) from gone

    def open(self, reference: str) -> AbstractAsyncContextManager[kiebot.InputFile]:
        raise MediaError(reference, "a file is given by its address here")


async def main() -> None:
    toy = {"DATABASE_URL": "sqlite:///lines.db", "TEST_MODE": "1"}
    settings = kiebot.Settings.from_env(toy | os.environ)
    gift = Money.rub("1000") if settings.test_mode else None

    def frontend(conversation: Conversation) -> LineFrontend:
        return LineFrontend(conversation, settings.port)

    shop = kiebot.compose(settings, frontend=frontend, demo_grant=gift)
    async with shop as runtime, runtime.working():
        assert runtime.frontend is not None
        await runtime.frontend.run()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
