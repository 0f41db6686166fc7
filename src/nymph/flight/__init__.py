"""Training rows as tables: the same rows in the same order, from a local folder or over Arrow Flight.

`order` says which row stands where, `tickets` asks for rows, `tables` holds them, `server` and `source` carry them.
"""
