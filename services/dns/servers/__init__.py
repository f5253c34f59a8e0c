"""The names of one server: what it wants, what is published for it, what is true of it."""
