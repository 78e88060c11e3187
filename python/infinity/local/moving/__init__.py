"""Moving a conversation, root thread and descendants, from one daemon to another (MIG-1, MIG-2)."""
