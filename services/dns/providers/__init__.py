"""One file per vendor, behind the protocols of ports.py."""
