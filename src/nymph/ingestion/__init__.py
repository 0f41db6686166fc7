"""From files of any kind to the table of recordings."""
