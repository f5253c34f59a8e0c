"""What a request has to look like, and how its sender behaves: docs/request-filter.md."""
