"""Recording of programs that do not mention tracehound: `tracehound run`, and `tracer.init(instrument="auto")`.

start      what happens at interpreter start, and when the first interesting library is imported
imports    calls back after a module was imported, whoever imports it
borrowed   lends OpenTelemetry to an interpreter that lacks it
libraries  the table of frameworks and clients and who instruments them
switch     switches the chosen instrumentors on
clients    LLM spans of client libraries, by wrapping create()
streams    reads along with a streamed answer
threads, processes, http   keep the parent where work changes its thread, process or machine
providers  a TracerProvider that the program sets later is kept
"""
