"""What the commands share: options, progress on the screen, lanes, the doctor."""
