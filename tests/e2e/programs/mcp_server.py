"""An MCP server with one tool, which does a piece of traced work."""

from mcp.server import MCPServer
from opentelemetry import trace

server = MCPServer("orders")


@server.tool()
def lookup(order_id: str) -> str:
    """Look an order up."""
    with trace.get_tracer("server").start_as_current_span("looking up"):
        return f"{order_id}: delivered"


server.run()
