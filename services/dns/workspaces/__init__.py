"""What becomes of a workspace's names when it ends."""
