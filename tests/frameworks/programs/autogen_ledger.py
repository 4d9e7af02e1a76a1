"""AutoGen without a model: an office asks a ledger and a payroll to close the month; each asks the other whether it is done.

`crossed`: at the same time, with their books closed meanwhile. `unheard`: the payroll does not answer, the ledger gives up.
`answered`: one after the other.
"""

import asyncio
import sys
from dataclasses import dataclass

from autogen_core import AgentId, MessageContext, RoutedAgent, SingleThreadedAgentRuntime, message_handler


@dataclass
class Close:
    month: str


@dataclass
class Question:
    text: str


class Office(RoutedAgent):
    @message_handler
    async def close(self, message: Close, ctx: MessageContext) -> str:
        asked = [self.send_message(message, AgentId(name, "default")) for name in ("ledger", "payroll")]
        if sys.argv[1] == "crossed":
            return str(await asyncio.gather(*asked))
        if sys.argv[1] == "unheard":
            asked.pop().close()
        return str([await one for one in asked])


class Books(RoutedAgent):
    def __init__(self, other: str) -> None:
        super().__init__("keeps books")
        self._other = AgentId(other, "default")
        self._books = asyncio.Lock()

    @message_handler
    async def close(self, message: Close, ctx: MessageContext) -> str:
        async with self._books:
            await asyncio.sleep(0.1)
            asking = self.send_message(Question(f"Is {message.month} done?"), self._other)
            if sys.argv[1] != "unheard":
                return await asking
            try:
                return await asyncio.wait_for(asking, 1.5)
            except TimeoutError:
                await asyncio.sleep(0.1)
                return "closed without an answer"

    @message_handler
    async def tell(self, message: Question, ctx: MessageContext) -> str:
        if sys.argv[1] == "unheard":
            await asyncio.Event().wait()
        async with self._books:
            return "yes"


async def main() -> None:
    runtime = SingleThreadedAgentRuntime()
    await Office.register(runtime, "office", lambda: Office("closes months"))
    await Books.register(runtime, "ledger", lambda: Books("payroll"))
    await Books.register(runtime, "payroll", lambda: Books("ledger"))
    runtime.start()
    print(await runtime.send_message(Close("May"), AgentId("office", "default")))


asyncio.run(main())
