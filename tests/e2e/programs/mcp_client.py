"""An MCP client that starts its server as a child process and calls a tool of it."""

import asyncio
import sys
from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from opentelemetry import trace


async def main() -> None:
    server = StdioServerParameters(command=sys.executable, args=[str(Path(__file__).with_name("mcp_server.py"))])
    span = trace.get_tracer("client").start_as_current_span
    with span("main"):
        async with stdio_client(server) as (reading, writing), ClientSession(reading, writing) as session:
            await session.initialize()
            with span("asking"):
                print((await session.call_tool("lookup", {"order_id": "A-17"})).content[0].text)


asyncio.run(main())
