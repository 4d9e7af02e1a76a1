"""An MCP server with one tool, which does a piece of traced work."""

# pyright: reportMissingImports=false

from opentelemetry import trace

try:
    from mcp.server import MCPServer
except ImportError:  # version 1
    from mcp.server.fastmcp import FastMCP as MCPServer

server = MCPServer("orders")


@server.tool()
def lookup(order_id: str) -> str:
    """Look an order up."""
    with trace.get_tracer("server").start_as_current_span("looking up"):
        return f"{order_id}: delivered"


server.run()
