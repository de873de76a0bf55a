"""What slotbellctl doctor checks, in its order."""

CHECKS = ["configuration", "certificate", "chain", "name", "key", "ticket-keys", "password", "database", "schema",
          "rights", "listen", "queue", "clock", "port", "daemon", "descriptors", "ready", "session"]  # fmt: skip
