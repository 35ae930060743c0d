"""What an Android engineer pastes to run a set of artifacts, filled in from its manifest."""
