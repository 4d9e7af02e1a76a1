"""OTLP/HTTP receiver: what other processes and other languages send goes into the spool and is folded like the rest.

client -> server (uvicorn) -> app (admission, limits) -> payload (decode, check) -> segment file -> 200
                                 |-> forward (thread, bounded queue) -> another back-end
folding (thread) <-> folder (process of its own: DuckDB and normalising never hold up an answer)
"""
