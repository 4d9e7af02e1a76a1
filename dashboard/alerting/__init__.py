"""Alerts beyond the rules: when a store is looked at (`looking`), what is kept of it (`outbox`), and how people get it (`channels`,
`senders`, `delivery`). What the rules say is decided in `analyzers.alerts`."""
