"""The rest of the world behind the provisioner's ports, in memory."""
