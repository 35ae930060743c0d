"""What a campaign runs on: this computer or a phone."""
