"""Records of other systems as billing messages."""
