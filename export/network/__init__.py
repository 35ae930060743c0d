"""Making the module that is exported, from the zoo or from a user's file."""
