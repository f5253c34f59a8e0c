"""What is published, one file per record type: the value it needs, and the rule that says so."""
