"""Real Debian servers for the sandbox's cloud: images, disks, boots."""
